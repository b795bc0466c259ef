"""Which strategy a line is about where a report compares several: that of its heading, or of the variant that it names.

Below ``## Option A: TP4, four replicas`` every figure is option A's, and ``option A would have needed …`` later on is too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from optimizer.auditing.reading import Statement
from optimizer.auditing.shell import ShellCommand
from optimizer.auditing.strategies import RECOMMENDED, Mention, digits, mentions

_NAME = re.compile(
    r"\b(?P<kind>option|variante?|alternative|plan|case|scenario|setup|layout|design|Szenario|Fall|scénario|choix"
    r"|solution)\s(?P<which>[A-Z]|\d|[IV]{1,3})\b",
    re.IGNORECASE,
)


THAT_ONE = re.compile(
    r"\W*(?:(?:that|this|such an?) (?:variant|layout|option|arrangement|alternative|split|set-?up|configuration)|in that case|then"
    r"|(?:diese|jene)[rs]? (?:Variante|Aufteilung|Alternative|Anordnung)|in diesem Fall|dann|dans ce cas"
    r"|cette (?:variante|disposition|solution|option|configuration))\b",
    re.IGNORECASE,
)
"""A sentence that goes on about the strategy of the one before."""
IN_THAT_CASE = re.compile(
    r"\W*(?:in that case|that (?:variant|alternative|option)|in diesem Fall|(?:diese|jene) (?:Variante|Alternative)|dans ce cas"
    r"|cette (?:variante|option))\b",
    re.IGNORECASE,
)
"""The same where it cannot be the strategy proposed."""
_ALTERNATIVE = re.compile(
    r"\b(?:alternatives?|not chosen|rejected|discarded|for comparison|verworfen\w*|nicht gewählt\w*|zum Vergleich|écartée?s?|non retenue?s?"
    r"|rejetée?s?|à titre de comparaison)\b",
    re.IGNORECASE,
)


def alternative_lines(statements: tuple[Statement, ...]) -> frozenset[int]:
    """Lines below a heading, or a line that ends with a colon, that says they are of what was not chosen."""
    found: set[int] = set()
    aside, section = False, ""
    for one in statements:
        if one.kind == "heading":
            continue
        if one.section != section:
            section = one.section
            aside = bool(_ALTERNATIVE.search(section.split(" / ")[-1]))
        if one.kind == "text" and one.text.rstrip().endswith(":"):
            aside = bool(_ALTERNATIVE.search(one.text))
        if aside:
            found.add(one.line)
    return frozenset(found)


class Variants:
    """The variants of a report by their names and the strategies of its sections."""

    def __init__(self, statements: tuple[Statement, ...], commands: tuple[ShellCommand, ...] = ()) -> None:
        launched = {line: command for command in commands for line in command.lines}
        aside = alternative_lines(statements)
        self.named: dict[str, Mention] = {}
        self.of_line: dict[int, Mention] = {}
        self.of_command: set[int] = set()
        self.of_column: dict[tuple[str, tuple[str, ...]], dict[int, Mention]] = {}
        self.lettered: dict[int, Mention] = {}
        self._proposed: dict[str, int] = {}
        self._learn_columns(statements)
        heading: tuple[str, Mention] | None = None
        local: Mention | None = None
        of_command = False
        section = letter = ""
        for one in statements:
            if one.kind == "heading":
                said = self._learn(one)
                title = f"{one.section} / {one.text}".strip(" /")
                if said:
                    heading = (title, said)
                elif heading and not title.startswith(heading[0]):
                    heading = None
                continue
            if one.section != section:
                section, local, letter = one.section, None, ""
            if one.kind == "text" and (named := _NAME.search(one.text)):
                local = self._learn(one) or local
                letter = _key(named)
                continue
            if one.line in launched and letter in self.named:
                self.lettered[one.line] = self.named[letter]
            if one.kind == "text" and one.text.rstrip().endswith(":"):
                said = _whole(one.text)
                local, of_command = said or (None if of_command else local), False
            if one.line in launched and one.line in aside:
                local, of_command = _of_command(launched[one.line]) or local, True
            meant = local or (heading[1] if heading else None)
            if meant is not None and one.kind in ("row", "text"):
                self.of_line[one.line] = meant
                if of_command:
                    self.of_command.add(one.line)

        self.recommended = self._recommended(statements)

    def _learn_columns(self, statements: tuple[Statement, ...]) -> None:
        """Tables whose columns are variants: by their headings or the row that give the strategy of each."""
        for one in statements:
            if one.kind != "row":
                continue
            table = (one.section, one.header)
            titles = {place: said for place, cell in enumerate(one.header) if place and (said := _of_cell(cell))}
            found = {place: said for place, cell in enumerate(one.cells) if place and (said := _of_cell(cell))}
            if len({said.degrees for said in titles.values()}) > 1:
                found = titles
                self._proposed |= {
                    title["which"].upper(): one.line
                    for place in titles
                    if (title := _COLUMN.match(one.header[place])) and RECOMMENDED.search(one.header[place])
                }
            if len(found) < 2 or len({said.degrees for said in found.values()}) < 2 or table in self.of_column:
                continue
            self.of_column[table] = found
            for place, said in found.items():
                title = _COLUMN.match(one.header[place]) if place < len(one.header) else None
                if title:
                    self.named.setdefault(title["which"].upper(), said)

    def _recommended(self, statements: tuple[Statement, ...]) -> tuple[Mention, int] | None:
        """The one variant that the report recommends by its name, with the line."""
        advised = [one for one in statements if one.kind == "text" and one.readable and RECOMMENDED.search(one.text)]
        found = {
            key: one.line for one in advised for key in self._names_in(one.text) if not _ALTERNATIVE.search(one.text)
        } or self._proposed
        return next(((self.named[key], line) for key, line in found.items()), None) if len(found) == 1 else None

    def _names_in(self, text: str) -> Iterator[str]:
        for match in (*_NAME.finditer(text), *_LETTER.finditer(text)):
            if _key(match) in self.named:
                yield _key(match)

    def _learn(self, statement: Statement) -> Mention | None:
        said = _whole(statement.text)
        names = [_key(match) for match in _NAME.finditer(statement.text)]
        if said and len(names) == 1:
            self.named.setdefault(names[0], said)
        return said if said and (len(names) <= 1) else None

    def meant(self, statement: Statement, text: str, column: int = 0) -> tuple[int, int, Mention] | None:
        """The variant that a sentence names (with its place), or that of its column of a table or its section."""
        if column and (said := self.of_column.get((statement.section, statement.header), {}).get(column)):
            return 0, 0, said
        for match in (*_NAME.finditer(text), *_LETTER.finditer(text)):
            if _key(match) in self.named:
                return match.start(), match.end(), self.named[_key(match)]
        below = _NAME.search(statement.section.split(" / ")[-1])
        if below and _key(below) in self.named:
            return 0, 0, self.named[_key(below)]
        if statement.line in self.of_line:
            return 0, 0, self.of_line[statement.line]
        return None


_COLUMN = re.compile(
    r"\W*(?:(?:option|variante?|alternative|plan|setup|layout)\s)?(?P<which>[A-Z]|\d|[IV]{1,3})\s?(?:[:.)(–-]|$)",
    re.IGNORECASE,
)
_LETTER = re.compile(
    r"\b(?:with|of|for|in|under|choose|take|propose|prefer|recommend|mit|von|bei|für|empfehlen|nehmen|wählen|avec|de|pour"
    r"|recommandons|retenons|choisissons)\s(?P<which>[A-Z])(?=$|[:;,.)]|\s(?!\d))"
)
"""``We recommend A``, ``the latency of A``: a variant by its letter alone, where a table or a heading has named it."""
_ONE_COPY = re.compile(
    r"\b(?:one|a single|1|ein(?:e|zige[sr]?)?|une? (?:seule )?)\s"
    r"(?:replica|copy|instance|engine|Replikat|Instanz|réplique)\b",
    re.IGNORECASE,
)


def _of_cell(cell: str) -> Mention | None:
    said = _whole(cell)
    if said and "dp" not in said.as_dict and _ONE_COPY.search(cell):
        return Mention((*said.degrees, ("dp", 1)), said.text)
    return said


def _of_command(command: ShellCommand) -> Mention | None:
    degrees = {which: value for which, value, _ in command.degrees()}
    return Mention(tuple(degrees.items()), " ".join(degrees)) if "tp" in degrees else None


def _key(match: re.Match[str]) -> str:
    return match["which"].upper()


def _whole(text: str) -> Mention | None:
    """All degrees of a line together; None where a degree has several values."""
    degrees: dict[str, int] = {}
    for mention in mentions(digits(text)):
        for which, value in mention.degrees:
            if degrees.setdefault(which, value) != value:
                return None
    return Mention(tuple(degrees.items()), text) if "tp" in degrees else None
