"""Launch commands in code blocks and code spans: engine, model and flags, each flag with the line it stands on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from optimizer.auditing.reading import Statement
from optimizer.engines.printed import every_engine

_ENGINES = "|".join(("ray start", *(pattern for engine in every_engine() for pattern in engine.started_by)))
_START = re.compile(
    r"(?:^|&&\s*|;\s*)\s*(?:[$#>]\s+)?(?:[A-Z_][A-Z0-9_]*=\S*\s+)*(?:sudo\s+|nohup\s+|exec\s+|env\s+)*"
    r"(?:(?:mpirun|srun)\s[^|;&]*?\s)?(?:\S*trtllm-llmapi-launch\s+)?"
    rf"(?P<start>{_ENGINES})(?=\s|$)"
)
_BARE = re.compile(rf"(?:^|[:–—>]\s)(?P<command>(?:[A-Z_][A-Z0-9_]*=\S*\s+)*(?:{_ENGINES})(?=\s).*?\s--?[a-z].*)$")
"""A command in running text, at its start or behind a colon: ``Launch: vllm serve … --tensor-parallel-size 4``."""
_DEGREE_FLAGS = {
    "--tensor-parallel-size": "tp",
    "-tp": "tp",
    "--tp-size": "tp",
    "--tp": "tp",
    "--pipeline-parallel-size": "pp",
    "-pp": "pp",
    "--pp-size": "pp",
    "--pp": "pp",
    "--data-parallel-size": "dp",
    "-dp": "dp",
    "--dp-size": "dp",
    "--dp": "dp",
    "--expert-parallel-size": "ep",
    "--ep-size": "ep",
    "--ep": "ep",
    "--moe-expert-parallel-size": "ep",
}


@dataclass(frozen=True, slots=True)
class Flag:
    """One option of a command; ``value`` is "" for a switch."""

    name: str
    value: str
    line: int

    @property
    def text(self) -> str:
        """As written, with one space."""
        return f"{self.name} {self.value}".rstrip()


@dataclass(frozen=True, slots=True)
class ShellCommand:
    """A launch command: ``program`` is ``ray`` or an engine."""

    program: str
    line: int
    lines: tuple[int, ...]
    flags: tuple[Flag, ...]
    model: str
    model_line: int
    text: str

    def degrees(self) -> Iterator[tuple[str, int, int]]:
        """(degree, value, line) of the parallel sizes that are flags."""
        for flag in self.flags:
            name = flag.name.replace("_", "-")
            if self.program != "ray" and name in _DEGREE_FLAGS and flag.value.isdigit() and len(flag.value) < 6:
                yield _DEGREE_FLAGS[name], int(flag.value), flag.line


def commands_in(statements: tuple[Statement, ...]) -> tuple[ShellCommand, ...]:
    """Every launch command of the report."""
    found: list[ShellCommand] = []
    block: list[tuple[int, str]] = []
    for statement in (*statements, None):
        listed = _listed_flag(statement, block)
        if listed:
            block += listed
            continue
        if statement is not None and statement.kind == "code" and statement.readable:
            if block and not block[-1][1].endswith("\\"):
                found += _command(block)
                block = []
            if block or _START.search(statement.text):
                block.append((statement.line, statement.text))
            continue
        if block:
            found += _command(block)
            block = []
        if statement is None or statement.kind == "code":
            continue
        spans = [span for span in statement.spans if _START.match(span) and "--" in span]
        if not spans and (bare := _BARE.search(statement.text)):
            spans = [bare["command"].rstrip(".,;)")]
        if not spans and (started := [span for span in statement.spans if _START.match(span)]):
            block.append((statement.line, started[-1]))  # its flags may be listed below
            continue
        for span in spans[:-1]:
            found += _command([(statement.line, span)])
        if spans:
            block.append((statement.line, spans[-1]))
    return tuple(found)


_FLAG_ALONE = re.compile(r"(?:[-*•+]\s|\d+[.)]\s)?(?P<flag>--?[a-z][\w-]*(?:(?:\s|=)[^\s]{1,120})?)\s*\\?\.?")
"""A line that is one flag, with a mark of a list before it: it belongs to the command above."""
APART = 4
"""Lines between a command and the flags listed below it: a sentence that introduces them, blank lines."""


def _listed_flag(statement: Statement | None, block: list[tuple[int, str]]) -> list[tuple[int, str]]:
    """The flag that stands alone on a line below a command, whose own line does not go on by a backslash."""
    if statement is None or not block or statement.line - block[-1][0] > APART or block[-1][1].endswith("\\"):
        return []
    alone = _FLAG_ALONE.fullmatch(statement.text.strip())
    return [(statement.line, alone["flag"])] if alone and statement.kind in ("text", "code") else []


def _command(block: list[tuple[int, str]]) -> list[ShellCommand]:
    words: list[tuple[str, int]] = []
    start = _START.search(block[0][1])
    if start is None:
        return []
    text = block[0][1]
    for index, (line, written) in enumerate(block):
        body = written[start.end("start") :] if index == 0 else written
        body = re.sub(r"(^|\s)#.*$", "", body.rstrip("\\").strip())
        for separator in ("&&", ";", "|", ">", "&"):
            body = re.split(rf"\s{re.escape(separator)}(?=\s|$|\S*/)", body)[0]
        words += [(quoted or word, line) for quoted, word in _words(body)]
    name = start["start"]
    engine = next((one for one in every_engine() if any(re.fullmatch(way, name) for way in one.started_by)), None)
    program = "ray" if engine is None else engine.engine
    flags: list[Flag] = []
    model, model_line = "", 0
    index = 0
    while index < len(words):
        word, line = words[index]
        index += 1
        if word.startswith("-") and not re.fullmatch(r"-\d.*", word):
            flag, _, value = word.partition("=")
            while not value and index < len(words) and not re.match(r"--?[A-Za-z]", words[index][0]):
                value = words[index][0]
                index += 1
                if index < len(words) and not re.match(r"--?[A-Za-z]", words[index][0]):
                    break
            flags.append(Flag(flag, value, line))
            if flag in ("--model", "--model-path"):
                model, model_line = value, line
        elif not model and engine is not None and engine.model_first and not flags:
            model, model_line = word, line
    return [ShellCommand(program, block[0][0], tuple(line for line, _ in block), tuple(flags), model, model_line, text)]


def _words(body: str) -> Iterator[tuple[str, str]]:
    for match in re.finditer(r"\"([^\"]*)\"|'([^']*)'|(\S+)", body):
        yield (match[1] or match[2] or "", match[3] or "")
