"""Recorded requests: arrival times and lengths from the forms in which traces are published.

CSV by its columns: ``arrived_at, num_prefill_tokens, num_decode_tokens`` (Vidur's packaging of the Azure traces, seconds),
``TIMESTAMP, ContextTokens, GeneratedTokens`` (Azure LLM inference traces, date and time), ``Timestamp, …, Request tokens,
Response tokens`` (BurstGPT, seconds). JSON lines with ``timestamp`` (ms), ``input_length``, ``output_length`` (Mooncake).
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from optimizer.facts.errors import ProblemError
from optimizer.facts.text import shown
from optimizer.reading.files import read_csv, read_text

LARGEST_BYTES = 64 * 1024 * 1024
VIDUR = ("arrived_at", "num_prefill_tokens", "num_decode_tokens")


@dataclass(frozen=True, slots=True)
class Arrival:
    """One request of a trace: when it came (ms), and its lengths in tokens."""

    at_ms: float
    prompt_tokens: int
    output_tokens: int


def _date_ms(text: Any) -> float:
    try:
        return float(text) * 1000
    except ValueError:
        return datetime.fromisoformat(str(text).strip()[:26]).timestamp() * 1000


def _seconds_ms(text: Any) -> float:
    return float(text) * 1000


FORMS: tuple[tuple[tuple[str, str, str], Callable[[Any], float], bool], ...] = (
    (VIDUR, _seconds_ms, False),
    (("TIMESTAMP", "ContextTokens", "GeneratedTokens"), _date_ms, False),
    (("Timestamp", "Request tokens", "Response tokens"), _seconds_ms, True),
    (("timestamp", "input_length", "output_length"), float, True),
)
"""(columns of time, prompt and output, the time in ms, whether requests without an answer are left out)."""


def read_requests(path: Path, field: str) -> tuple[Arrival, ...]:
    """The requests of a trace file in order of arrival.

    Args:
        field: the option or field that names the file, for messages.

    Raises:
        ProblemError: the file cannot be read, its form is not known, a value is no number, or it holds no request.
    """
    lines = path.suffix.lower() in (".jsonl", ".ndjson", ".json")
    columns, rows = _json_lines(path, field) if lines else read_csv(path, field, LARGEST_BYTES)
    form = max(FORMS, key=lambda one: len(set(one[0]) & set(columns)))
    missing = [name for name in form[0] if name not in columns]
    if missing:
        known = "; or ".join(", ".join(names) for names, _, _ in FORMS)
        raise ProblemError(field, f"the column {missing[0]} is missing; a trace has {known}")
    found = list(_arrivals(rows, form, field))
    if not found:
        raise ProblemError(field, f"{path.name} holds no request")
    return tuple(sorted(found, key=lambda one: one.at_ms))


def _arrivals(
    rows: Iterable[Mapping[str, Any]],
    form: tuple[tuple[str, str, str], Callable[[Any], float], bool],
    field: str,
) -> Iterator[Arrival]:
    (time, prompt, output), clock, skips = form
    for line, row in enumerate(rows, start=1 if form is FORMS[-1] else 2):
        try:
            at, p, o = clock(row[time]), _whole(row[prompt]), _whole(row[output])
        except (TypeError, ValueError, KeyError):
            raise ProblemError(
                field,
                f"line {line}: {time}, {prompt} and {output} have to be a time and two whole numbers, not "
                f"{', '.join(shown(row.get(name)) for name in (time, prompt, output))}",
            ) from None
        if skips and o == 0:
            continue  # the recorded service failed to answer
        if not math.isfinite(at) or p < 1 or o < 1:
            raise ProblemError(field, f"line {line}: needs a finite time and at least one token of prompt and output")
        yield Arrival(at, p, o)


def _whole(value: Any) -> int:
    """A number of tokens, which some tools write as 374.0."""
    if isinstance(value, bool):
        raise TypeError
    number = float(value) if isinstance(value, float) or "." in str(value) else int(value)
    if number != int(number):
        raise ValueError
    return int(number)


def _json_lines(path: Path, field: str) -> tuple[tuple[str, ...], list[dict[str, Any]]]:
    rows = []
    for number, line in enumerate(read_text(path, field, largest=LARGEST_BYTES, what="trace").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError:
            raise ProblemError(field, f"line {number} is no JSON") from None
        if not isinstance(row, dict):
            raise ProblemError(field, f"line {number} is no JSON object")
        rows.append(row)
    return tuple(rows[0]) if rows else (), rows
