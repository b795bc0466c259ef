"""Solving points: what one process does, wherever it runs. Points that share tables are kept together in one piece of work."""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from optimizer.facts.errors import ProblemError
from optimizer.facts.problem import Problem
from optimizer.questions.many import ProblemFamily, solve_many
from optimizer.reading.prices import priced_as
from optimizer.reading.question import kind_of_values
from optimizer.reading.stated import Stated
from optimizer.results.answer import Answer
from optimizer.results.pools import PoolsAnswer
from optimizer.results.side_by_side import SideBySideAnswer
from optimizer.sweeps.hardware import hardware_of, idle_sentence
from optimizer.sweeps.points import Point, Spec, failed, point_of, point_of_any
from optimizer.sweeps.scenarios import applied

LARGEST_PIECE = 64
"""Points in one piece of work: a killed process loses no more."""
_SHARE_TABLES = (
    "workload.requests_per_s", "requirements.", "objective", "hardware.failures", "hardware.nodes", "hardware.price", "name",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Piece:
    """Points to solve in one process; everything needed travels with it.

    ``largest`` is the largest count among points that can share tables with these, in whatever piece; ``time_limit_s`` is each
    point's own (inventories).
    """

    stated: Stated
    specs: tuple[Spec, ...]
    prices: Mapping[str, float]
    largest: int | None = None
    time_limit_s: float | None = None


Kept = dict[Hashable, ProblemFamily]
_kept_here: Kept = {}
"""Tables of this worker process: the next piece often needs the same."""


def solve_piece(piece: Piece) -> list[Point]:
    """Every point of a piece, in order. For worker processes: tables are kept for the next piece."""
    return sorted(solve_specs(piece, _kept_here), key=lambda point: point.index)


def solve_specs(piece: Piece, kept: Kept) -> Iterator[Point]:
    """Points as they are solved, in no particular order; what goes wrong at a point is its own point.

    Args:
        kept: tables of earlier pieces; the latest are put here.
    """
    if kind_of_values(piece.stated.values) == "inventory":
        from optimizer.sweeps.inventory import solve_inventories

        yield from solve_inventories(piece.stated, piece.specs, piece.prices, piece.time_limit_s)
        return
    maker = Maker(piece.stated, piece.prices)
    asked: list[tuple[Spec, Problem, tuple[str, ...]]] = []
    for spec in piece.specs:
        try:
            problem, notes = maker.problem(spec)
            if problem.serving == "joint":
                asked.append((spec, problem, notes))
            else:
                yield point_of_any(spec, problem, _solved_alone(problem), notes)
        except ProblemError as error:
            yield failed(spec, str(error))
    beside = []
    if piece.largest is not None and asked:
        beside = [maker.problem(replace(asked[0][0], gpus=piece.largest))[0]]
    for position, answer in solve_many([problem for _, problem, _ in asked], beside=beside, kept=kept):
        spec, problem, notes = asked[position]
        if isinstance(answer, ProblemError):
            yield failed(spec, str(answer))
        else:
            yield point_of(spec, problem, answer, notes)


def _solved_alone(problem: Problem) -> Answer | PoolsAnswer | SideBySideAnswer:
    """The answer where pools, or joint instances beside them, may be best, which share no tables.

    Raises:
        ProblemError: as ``solve``.
    """
    from optimizer.questions.solve import solve

    return solve(problem, repairs=False)


def alone(stated: Stated, spec: Spec) -> bool:
    """Whether a point asks for pools, each of which takes its time."""
    serving = spec.changes.get("serving", stated.value("serving"))
    return serving not in (None, "joint")


class Maker:
    """Problems of specs; models and the problems that differ in their count only are resolved once."""

    def __init__(self, stated: Stated, prices: Mapping[str, float]) -> None:
        self._stated, self._prices = stated, prices
        self._models: dict[str, Any] = {}
        self._last: tuple[Mapping[str, Any], Problem, tuple[str, ...]] | None = None
        self._at_count: dict[int, Problem] = {}

    def problem(self, spec: Spec) -> tuple[Problem, tuple[str, ...]]:
        """The problem of a point, and sentences on what was left out of the question.

        Raises:
            ProblemError: as ``load_problem``.
        """
        if self._last is None or self._last[0] != spec.changes:
            self._last, self._at_count = (spec.changes, *self._resolved(spec.changes)), {}
        _, problem, notes = self._last
        if spec.gpus is None:
            return problem, notes
        hardware = hardware_of(problem.hardware, spec.gpus)
        # Counts that are the same hardware are the same problem, and solved once.
        same = self._at_count.setdefault(hardware.gpus, problem.model_copy(update={"hardware": hardware}))
        idle = idle_sentence(problem.hardware, spec.gpus)
        return same, (*notes, *([idle] if idle else ()))

    def _resolved(self, changes: Mapping[str, Any]) -> tuple[Problem, tuple[str, ...]]:
        changed, aside = applied(self._stated, dict(changes))
        if any(field.split(".")[0] == "model" for field in changes):
            key = json.dumps(changed.values.get("model"), sort_keys=True, default=str)
            problem = replace(changed, model=self._models.get(key)).problem()
            self._models[key] = problem.model
        else:
            problem = changed.problem()
        hardware = problem.hardware
        price = self._prices.get(priced_as(hardware.gpu.name, hardware.pricing))
        if price is not None and hardware.price_per_gpu_hour is None:
            hardware = hardware.model_copy(update={"price_per_gpu_hour": price})
        return problem.model_copy(update={"hardware": hardware}), (aside,) if aside else ()


def pieces(
    stated: Stated, specs: Sequence[Spec], prices: Mapping[str, float], time_limit_s: float | None = None
) -> list[Piece]:
    """Work in pieces: points that can share tables together, and no more of them than a killed run may lose."""
    if kind_of_values(stated.values) == "inventory":
        # Inventories share no tables, and each point takes its time.
        return [Piece(stated, (spec,), prices, time_limit_s=time_limit_s) for spec in specs]
    groups: dict[str, list[Spec]] = {}
    lonely = [Piece(stated, (spec,), prices) for spec in specs if alone(stated, spec)]
    for spec in (spec for spec in specs if not alone(stated, spec)):
        apart = {field: value for field, value in spec.changes.items() if not field.startswith(_SHARE_TABLES)}
        groups.setdefault(json.dumps(apart, sort_keys=True, default=str), []).append(spec)
    cut: list[Piece] = lonely
    for group in groups.values():
        counts = {spec.gpus for spec in group if spec.gpus is not None}
        largest = max(counts) if len(counts) > 1 else None
        for start in range(0, len(group), LARGEST_PIECE):
            cut.append(Piece(stated, tuple(group[start : start + LARGEST_PIECE]), prices, largest))
    return cut
