"""What one screen shows of a sweep: of each scenario the fewest GPUs, the cheapest and the knee, and why others have none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from optimizer.sweeps.curve import Curve
from optimizer.sweeps.points import Point
from optimizer.sweeps.scenarios import scenario_name

MOST_ROWS = 24
MOST_RUNS = 14
"""Lines of a single curve that are shown whole; longer ones by what is remarkable of them."""
MOST_REASONS = 6


@dataclass(frozen=True, slots=True)
class SweepRow:
    """Neighbouring counts with one answer; ``what`` says why they are shown (``fewest``, ``knee``, …), empty where all are."""

    points: tuple[Point, ...]
    what: str = ""

    @property
    def first(self) -> Point:
        """The point with the fewest GPUs of them."""
        return self.points[0]


@dataclass(frozen=True, slots=True)
class SweepScreen:
    """Rows to show, sentences on scenarios without one, and how much is left out."""

    rows: tuple[SweepRow, ...]
    none: tuple[str, ...]
    hidden_scenarios: int = 0
    hidden_lines: int = 0


def runs_of(points: Sequence[Point]) -> list[SweepRow]:
    """Every line there is: neighbours with equal answers are one, and those where the same rules leave nothing."""
    return [SweepRow(tuple(group)) for _, group in groupby(points, key=_same)]


def one_screen(points: Sequence[Point], readings: Sequence[Curve]) -> SweepScreen:
    """The rows of one screen.

    Args:
        points: in the order in which they were asked; those of a scenario stand together.
        readings: what ``curves`` says of them.
    """
    scenarios = [list(group) for _, group in groupby(points, key=lambda point: point.name)]
    every = runs_of(points)
    if len(scenarios) == 1 and len(every) <= MOST_RUNS:
        read = {reading.name: reading for reading in readings}.get(points[0].name)
        return SweepScreen(tuple(SweepRow(row.points, _what(row, read)) for row in every), ())
    by_name = {reading.name: reading for reading in readings}
    rows = [_rows(group, by_name.get(group[0].name)) for group in scenarios]
    none = tuple(_none([group for group, found in zip(scenarios, rows, strict=True) if not found]))
    found = [some for some in rows if some]
    if sum(map(len, found)) > MOST_ROWS:
        found = [some[:1] for some in found]
    shown = tuple(row for some in found[:MOST_ROWS] for row in some)
    hidden = len(found) - min(len(found), MOST_ROWS)
    return SweepScreen(shown, none, hidden, len(every) - len(shown))


def varied(points: Sequence[Point]) -> dict[str, str]:
    """Fields that differ between scenarios, each with a short name: the columns that tell scenarios apart."""
    fields = dict.fromkeys(field for point in points for field in point.values)
    many = [field for field in fields if len({repr(point.values.get(field)) for point in points}) > 1]
    return {field: scenario_name(dict.fromkeys(many)).split(", ")[i].split("=", 1)[0] for i, field in enumerate(many)}


def value_words(point: Point, field: str) -> str:
    """The value of a field at a point, as ``scenario_name`` writes it; empty where the scenario does not name it."""
    return scenario_name({field: point.values[field]}).split("=", 1)[1] if field in point.values else ""


def _same(point: Point) -> object:
    if point.status == "infeasible" and point.gpus is not None:
        return point.name, point.status, point.conflict
    choice = (
        point.inventory
        or point.strategy
        or point.side_by_side
        or (point.disaggregated.strategy if point.disaggregated else None)
    )
    return point.name, point.status, choice, point.objective, point.said, point.error, point.gpus is None


def _what(row: SweepRow, read: Curve | None) -> str:
    """Why a line is remarkable."""
    if read is None:
        return ""
    named = (("fewest", read.fewest), ("cheapest", read.cheapest), ("knee", read.knee))
    return ", ".join(word for word, point in named if point is not None and point in row.points)


def _rows(group: Sequence[Point], read: Curve | None) -> list[SweepRow]:
    """The remarkable lines of a scenario, fewest GPUs first; none where no count works."""
    good = [row for row in runs_of(group) if row.first.figures is not None]
    if read is None:
        return good[:1]
    return [SweepRow(row.points, words) for row in good if (words := _what(row, read))]


def _none(groups: Sequence[Sequence[Point]]) -> list[str]:
    """Why scenarios have no count that works, those of one kind together."""
    kinds: dict[object, list[Sequence[Point]]] = {}
    for group in groups:
        last = group[-1]
        first_value = next(iter(last.values.values()), None)
        kinds.setdefault((repr(first_value), last.status, last.conflict, last.error), []).append(group)
    sentences = [_why_none(some) for some in kinds.values()]
    more = len(sentences) - MOST_REASONS
    return sentences[:MOST_REASONS] + ([f"{more} more reasons are not listed."] if more > 0 else [])


def _why_none(groups: Sequence[Sequence[Point]]) -> str:
    """One sentence: which scenarios, and why the most GPUs that were asked for are not enough."""
    last = groups[0][-1]
    name, more = last.name, len(groups) - 1
    if more:
        shared: Mapping[str, Any] = {
            field: value
            for field, value in last.values.items()
            if all(repr(group[-1].values.get(field)) == repr(value) for group in groups)
        }
        rest = {f: [g[-1].values.get(f) for g in groups] for f in last.values if f not in shared}
        different = "; ".join(f"{scenario_name({f: None}).split('=')[0]} {_few(values)}" for f, values in rest.items())
        name = f"{scenario_name(dict(shared))} ({different})" if shared else different
    if last.error is not None:
        return f"{name}: not answered. {last.error}"
    what = "no count works" if len(groups[0]) > 1 else "no strategy works"
    if last.status == "unknown":
        what = "not decided"
    said = last.said if last.said else f"Rules that cannot hold: {', '.join(last.conflict)}."
    lead = f"{name}: {what}" if name else what.capitalize()
    if said.startswith("Because"):  # The sentence goes on.
        return f"{lead}{' (the first of them)' if more else ''}: b{said[1:]}"
    return f"{lead}. {'Of the first: ' if more else ''}{said}"


def _few(values: Sequence[Any], most: int = 4) -> str:
    words = list(dict.fromkeys(scenario_name({"x": value}).split("=", 1)[1] for value in values))
    return ", ".join(words[:most]) + (f" and {len(words) - most} more" if len(words) > most else "")
