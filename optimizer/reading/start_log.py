"""What an engine printed when it started: layout, and memory by part. Lines of one GPU stand for all.

How each engine words it is data: ``engines/data/printed``.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

from optimizer.engines.printed import StartTexts, every_engine
from optimizer.engines.registry import titled
from optimizer.facts.errors import ProblemError
from optimizer.facts.text import shown
from optimizer.reading.files import read_text

LARGEST_BYTES = 64 * 1024 * 1024
COUNTS = frozenset({"kv_tokens", "tp", "pp", "dp", "longest", "batched_tokens", "sequences"})
"""Figures that are whole numbers; the others are GiB, or a share."""
TELLING = frozenset({"weights_gib", "kv_gib", "kv_tokens"})
"""Figures one of which a start of an engine prints."""


@dataclass(frozen=True, slots=True)
class StartLog:
    """Figures of one start; None: not printed."""

    name: str
    engine: str
    version: str | None
    weights_gib: float | None = None
    peak_gib: float | None = None
    non_torch_gib: float | None = None
    consumed_gib: float | None = None
    """Weights and what is outside the allocator, as newer versions of vLLM print them together."""
    graphs_gib: float | None = None
    kv_gib: float | None = None
    total_gib: float | None = None
    share: float | None = None
    needed_gib: float | None = None
    kv_tokens: int | None = None
    tp: int | None = None
    pp: int | None = None
    dp: int | None = None
    longest: int | None = None
    batched_tokens: int | None = None
    sequences: int | None = None

    @property
    def printed(self) -> dict[str, float | int]:
        """What was printed, by name."""
        names = (one.name for one in fields(self) if one.name not in ("name", "engine", "version"))
        return {name: value for name in names if (value := getattr(self, name)) is not None}


def read_start_log(path: Path) -> StartLog:
    """The figures of a log file.

    Raises:
        ProblemError: it cannot be read, or no engine printed anything of memory in it.
    """
    text = read_text(
        path, str(path), largest=LARGEST_BYTES, what="log of a start; cut it to the start of the engine", lenient=True
    )
    return start_log(text, path.name)


def start_log(text: str, name: str) -> StartLog:
    """The figures of a log's text.

    Raises:
        ProblemError: no engine printed anything of memory in it.
    """
    # A value stands in many lines (one a GPU, one a start): the last counts, of parts the largest of the last start's GPUs would
    # differ by what ranks round differently, so one line is enough.
    engine, written = _printed(text)
    if not TELLING & set(written):
        raise ProblemError(name, f"holds no line of {titled()} on weights, KV cache or tokens that fit")
    values: dict[str, float | int] = {}
    for figure, text_of in written.items():
        numbers = [one.replace(",", "") for one in ((text_of,) if isinstance(text_of, str) else text_of)]
        try:
            values[figure] = int(numbers[0]) if figure in COUNTS else sum(float(number) for number in numbers)
        except ValueError:
            raise ProblemError(name, f"prints {shown(' '.join(numbers))} as {figure}, which is no number") from None
        if figure in COUNTS and values[figure] < 1:
            raise ProblemError(name, f"prints {values[figure]} as {figure}, which cannot be")
    if "consumed_gib" in values and "weights_gib" in values:
        values.setdefault("non_torch_gib", max(0.0, values["consumed_gib"] - values["weights_gib"]))
    version = engine.version.search(text) if engine.version else None
    return StartLog(name, engine.engine, version.group(1) if version else None, **values)  # type: ignore[arg-type]


def _printed(text: str) -> tuple[StartTexts, dict[str, str | tuple[str, ...]]]:
    """The engine and what it printed: one of whose own lines some stand there, or else the one that most figures are found of.

    By its lines and not its name, since logs of one engine speak of others.
    """
    marked = next((one for one in every_engine() if any(mark in text for mark in one.marks)), None)
    if marked is not None:
        return marked, marked.read(text)
    found = [(one, one.read(text)) for one in every_engine()]
    return max(found, key=lambda pair: (len(TELLING & set(pair[1])), len(pair[1])))
