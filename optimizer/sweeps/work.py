"""Solving points: what one process does, wherever it runs. Points that share tables are kept together in one piece of work."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from optimizer.facts.errors import ProblemError
from optimizer.facts.problem import Problem
from optimizer.facts.stated import Stated
from optimizer.many import solve_many
from optimizer.sweeps.hardware import hardware_of, idle_sentence
from optimizer.sweeps.points import Point, Spec, failed, point_of
from optimizer.sweeps.scenarios import applied

LARGEST_PIECE = 64
"""Points in one piece of work where they have no counts: a killed process loses no more."""
_SHARE_TABLES = (
    "workload.requests_per_s", "requirements.", "objective", "hardware.failures", "hardware.nodes", "hardware.price", "name",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Piece:
    """Points to solve in one process; everything needed travels with it."""

    stated: Stated
    specs: tuple[Spec, ...]
    prices: Mapping[str, float]


def solve_piece(piece: Piece) -> list[Point]:
    """Every point of a piece, in order."""
    return sorted(solve_specs(piece.stated, piece.specs, piece.prices), key=lambda point: point.index)


def solve_specs(stated: Stated, specs: Sequence[Spec], prices: Mapping[str, float]) -> Iterator[Point]:
    """Points as they are solved, in no particular order; what goes wrong at a point is its own point."""
    maker = Maker(stated, prices)
    asked: list[tuple[Spec, Problem, tuple[str, ...]]] = []
    for spec in specs:
        try:
            asked.append((spec, *maker.problem(spec)))
        except ProblemError as error:
            yield failed(spec, str(error))
    for position, answer in solve_many([problem for _, problem, _ in asked]):
        spec, problem, notes = asked[position]
        if isinstance(answer, ProblemError):
            yield failed(spec, str(answer))
        else:
            yield point_of(spec, problem, answer, notes)


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
        price = self._prices.get(hardware.gpu.name)
        if price is not None and hardware.price_per_gpu_hour is None:
            hardware = hardware.model_copy(update={"price_per_gpu_hour": price})
        return problem.model_copy(update={"hardware": hardware}), (aside,) if aside else ()


def pieces(stated: Stated, specs: Sequence[Spec], prices: Mapping[str, float], workers: int) -> list[Piece]:
    """Work for so many processes: points that can share tables together, large families cut so that nobody waits long."""
    groups: dict[str, list[Spec]] = {}
    for spec in specs:
        apart = {field: value for field, value in spec.changes.items() if not field.startswith(_SHARE_TABLES)}
        groups.setdefault(json.dumps(apart, sort_keys=True, default=str), []).append(spec)
    cut: list[tuple[Spec, ...]] = []
    for group in groups.values():
        if len({spec.gpus for spec in group}) > 1:
            # Tables cost as much as the largest count: few cuts, at equal sums of counts.
            cut += _by_weight(group, workers if len(groups) < 2 * workers else 1)
        else:
            cut += [tuple(group[i : i + LARGEST_PIECE]) for i in range(0, len(group), LARGEST_PIECE)]
    return [Piece(stated, part, prices) for part in cut]


def _by_weight(group: list[Spec], parts: int) -> list[tuple[Spec, ...]]:
    ordered = sorted(group, key=lambda spec: (spec.gpus or 0, spec.index))
    total, done = sum(spec.gpus or 1 for spec in ordered), 0
    cut: list[list[Spec]] = [[] for _ in range(parts)]
    for spec in ordered:
        cut[min(parts - 1, done * parts // total)].append(spec)
        done += spec.gpus or 1
    return [tuple(part) for part in cut if part]
