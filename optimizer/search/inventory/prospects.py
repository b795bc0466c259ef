"""Pipelines over two kinds of places before any is built: what each carries at most and takes at least. ``docs/inventories.md``, section 2.

Only those whose bound lets them carry more than their places would otherwise are prospects; of these, only those whose price may enter a
plan worth having are built (``prices``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cached_property, lru_cache

import numpy as np

from optimizer.costs.load import chain_length
from optimizer.costs.shapes import Bools, Floats, Ints, Shape
from optimizer.facts.inventory import InventoryProblem
from optimizer.results.answer import Fixed
from optimizer.search.inventory.candidate import MICRO, StagePart, nodes_needed
from optimizer.search.inventory.group_types import OneGroup, expert_degrees, formats_of, one_of
from optimizer.search.inventory.stage_bounds import StageBounds, Width
from optimizer.search.uniform.space import evenly, pipeline_degrees, tensor_degrees

_ROUNDING = 1 + 1e-9
_EXACT_RUNNING, _FINER = 8, 1.15


@dataclass(frozen=True, slots=True)
class Prospects:
    """J pipelines, a column each."""

    width: Ints
    """Position among the widths."""
    stages: Ints  # (J, 2)
    nodes: Ints  # (J, 2)
    ahead: Ints
    """Layers of the first part."""
    apart: Ints
    """What the places carry otherwise, millionths of a request/s."""
    slots: Ints
    """Sequences that memory has room for at most."""
    residence_ms: Floats
    """(J, M) below which a request's stay never is with so many in progress: the ``running`` of the pairing."""

    def __len__(self) -> int:
        return len(self.width)

    @property
    def fastest_ms(self) -> Floats:
        """Below which the mean time of a request never is."""
        result: Floats = self.residence_ms[:, 0]
        return result

    def part(self, chosen: Bools) -> Prospects:
        """The prospects where ``chosen``, (N,), is true."""
        return Prospects(*(getattr(self, field.name)[chosen] for field in fields(self)))


@dataclass(frozen=True, slots=True)
class _Cut:
    """A division of stages: how many on either side, the nodes that they take, and what these carry otherwise, millionths."""

    stages: tuple[int, int]
    nodes: tuple[int, int]
    ahead: Ints
    """Layers that the first part may hold."""
    apart: int


class Pairing:
    """Prospects of pipelines whose first stages stand on one kind of place and the others on another."""

    def __init__(self, problem: InventoryProblem, first: OneGroup, second: OneGroup, fixed: Fixed) -> None:
        self.problem, self.apart, self.fixed = problem, (first, second), fixed
        self._hs = tuple(problem.instance_problem(kind.group, kind.together) for kind in self.apart)
        self.considered = 0
        requirements, off = problem.requirements, problem.search.disabled_rules
        chain = chain_length(self._hs[0])
        self._most = chain if "max_batch" in off else min(chain, self._hs[0].max_batch)
        self._fewest = 1 if "min_batch" in off else max(1, requirements.min_batch)
        self._no_memory, self._no_rate = "memory" in off, "request_rate" in off
        self._no_slots = "concurrency" in off
        self._chain = chain
        exact = -(-(chain if self._no_rate else self._most) // 2)
        self._batches = _rising(max(1, -(-chain // 2)), exact)
        self.running = _rising(chain, _EXACT_RUNNING)
        """Numbers in progress at which stays are bounded."""
        self._places: dict[tuple[int, int, int, int], int] = {}

    @cached_property
    def widths(self) -> tuple[Width, ...]:
        """TP, EP and formats that the stages may have."""
        one, other = self._hs
        tensor = [tp for tp in tensor_degrees(one) if tp in tensor_degrees(other)]
        formats = formats_of(self.problem, self.fixed)
        return tuple(
            (tp, ep, *names)
            for tp in one_of(self.fixed.tensor_parallel, tensor)
            for ep in expert_degrees(one, tp, 1)
            if self.fixed.expert_parallel in (None, ep)
            for names in formats
        )

    @cached_property
    def all(self) -> Prospects:
        """Every prospect."""
        found = list(self._found())
        if not found:
            none, pair = np.zeros(0, dtype=np.int64), np.zeros((0, 2), dtype=np.int64)
            return Prospects(none, pair, pair, none, none, none, np.zeros((0, len(self.running))))
        return Prospects(*(np.concatenate([getattr(one, f.name) for one in found]) for f in fields(Prospects)))

    def shapes(self, some: Prospects) -> Iterator[tuple[tuple[int, int], Shape, int]]:
        """(nodes of both parts, shape, what the places carry otherwise) of prospects."""
        layers = self.problem.model.layers
        columns = (some.width, some.stages, some.nodes, some.ahead, some.apart)
        for width, stages, nodes, ahead, apart in zip(*(column.tolist() for column in columns), strict=True):
            tp, ep, weight, cache = self.widths[width]
            split = (*evenly(ahead, stages[0]), *evenly(layers - ahead, stages[1]))
            yield tuple(nodes), Shape(tp, sum(stages), ep, weight, cache, split, tuple(stages)), apart

    def _found(self) -> Iterator[Prospects]:
        degrees = one_of(self.fixed.pipeline_parallel, pipeline_degrees(self._hs[0]))
        layers = self.problem.model.layers
        for tp in sorted({width[0] for width in self.widths}):
            rows = np.array([row for row, width in enumerate(self.widths) if width[0] == tp], dtype=np.int64)
            cuts: list[_Cut] = []
            for stages in ((first, pp - first) for pp in degrees for first in range(1, pp)):
                ahead = _layers_ahead(layers, stages)
                nodes = [
                    nodes_needed(tp * many, many, kind.group.free_gpus, kind.together)
                    for kind, many in zip(self.apart, stages, strict=True)
                ]
                if None in nodes or not len(ahead):
                    continue
                self.considered += len(rows) * len(ahead)
                on = nodes[0] or 1, nodes[1] or 1
                apart = sum(self._otherwise(side, stages[side], on[side], tp) for side in (0, 1))
                cuts.append(_Cut(stages, on, ahead, apart))
            if cuts:
                yield self._of(rows, cuts)

    def _of(self, rows: Ints, cuts: Sequence[_Cut]) -> Prospects:
        """Those of one TP degree: every width, division of the stages and layer split."""
        work, every = self.problem.workload, rows[:, None]
        cut = np.repeat(np.arange(len(cuts)), [len(one.ahead) for one in cuts])
        ahead = np.concatenate([one.ahead for one in cuts])
        stages = np.array([one.stages for one in cuts], dtype=np.int64)[cut]
        pp, apart = stages.sum(axis=1), np.array([one.apart for one in cuts], dtype=np.int64)[cut]
        held = np.stack([ahead, self.problem.model.layers - ahead], axis=1)
        fullest = (-(-held // stages)).T
        slots = np.full((len(rows), len(ahead)), self._most, dtype=np.int64)
        if not self._no_memory:
            for bound, layers in zip(self._bounds, fullest, strict=True):
                slots = np.minimum(slots, bound.slots[every, layers])
        batch = -(-np.maximum(1, np.full_like(slots, self._chain) if self._no_rate else slots) // pp)
        at = np.searchsorted(self._batches, batch, side="right") - 1
        slowest = np.maximum(*(b.decode_ms[every, n[None, :], at] for b, n in zip(self._bounds, fullest, strict=True)))
        longest = np.maximum(*(b.prefill_ms[every, n] for b, n in zip(self._bounds, fullest, strict=True)))
        # R(n) >= (o - 1) * (round(n) + (n - 1) / o * O_max) + O_max, as ``TwoGroupCosts.completes_at_most``.
        least_ms = (1 - 1 / work.output_tokens) * (work.output_tokens * slowest / batch + longest)
        with np.errstate(divide="ignore"):
            completes = np.where(least_ms > 0, 1e3 / least_ms, np.inf) * _ROUNDING
        row, column = np.nonzero((slots >= self._fewest) & (completes * MICRO > apart))
        order = np.lexsort((column, row, cut[column]))
        row, column = row[order], column[order]
        return Prospects(
            width=rows[row],
            stages=stages[column],
            nodes=np.array([one.nodes for one in cuts], dtype=np.int64)[cut[column]],
            ahead=ahead[column],
            apart=apart[column],
            slots=slots[row, column],
            residence_ms=self._residence(stages[column], rows[row], held[column]),
        )

    def _residence(self, stages: Ints, row: Ints, held: Ints) -> Floats:
        """Lower bounds of R(m), (J, M): section 3 of ``docs/model.md`` with the least that stages take, sends and engine left out.

        A part's fullest stage holds its layers over its stages, rounded up, and each stage those rounded down.

        Args:
            stages: (J, 2) of both parts.
            held: (J, 2) layers of both parts.
        """
        work, m, pp = self.problem.workload, self.running, stages.sum(axis=1)[:, None]
        slowest, through, whole, longest = (np.zeros((len(row), len(m))) for _ in range(4))
        at = np.searchsorted(self._batches, -(-m // pp), side="right") - 1
        for bound, layers, many in zip(self._bounds, held.T, stages.T, strict=True):
            low, high = layers // many, -(-layers // many)
            slowest = np.maximum(slowest, bound.decode_ms[row[:, None], high[:, None], at])
            through += many[:, None] * bound.decode_ms[row[:, None], low[:, None], at]
            whole += (many * bound.prefill_ms[row, low])[:, None]
            longest = np.maximum(longest, bound.prefill_ms[row, high][:, None])
        rounds = np.maximum(through, np.minimum(m, pp) * slowest)
        prompts = (m - 1) / work.output_tokens
        token = rounds + prompts * np.maximum(longest, whole / (1 + prompts / 2))
        result: Floats = (whole + (work.output_tokens - 1) * token) / _ROUNDING
        return result

    def earns_at_most(self, some: Prospects, gamma: float) -> Floats:
        """Γ(γ) = max of r · (γ − T(r)) of prospects, bounded from above, requests/s · ms, (J,).

        With M requests in progress r = E[M / R(M)] and T(r) ≥ E[M] / r, so Γ ≤ E[γ · M / R(M) − M], which is at most the largest
        γ · m / R(m) − m. A slot is free for 99 % of requests only where E[M] ≤ n − 1, and each takes R(1) at least.
        """
        last = np.append(self.running[1:] - 1, self._chain)
        spare = 1e3 * (gamma / np.maximum(some.residence_ms, 1e-300) - 1)
        most = np.maximum(0.0, last * spare).max(axis=1)
        if not self._no_slots:
            most = np.minimum(most, np.maximum(0.0, (some.slots - 1) * spare[:, 0]))
        result: Floats = most * _ROUNDING
        return result

    @cached_property
    def _bounds(self) -> tuple[StageBounds, ...]:
        """Bounds of a stage on either side, a row for each width."""
        found = []
        for kind, alone in zip(self.apart, self._hs, strict=True):
            key = self.widths, self._batches.tobytes()
            if key not in kind.stage_bounds:
                kind.stage_bounds[key] = StageBounds(alone, self.widths, self._batches)
            found.append(kind.stage_bounds[key])
        return tuple(found)

    def _otherwise(self, side: int, stages: int, nodes: int, tp: int) -> int:
        """What instances within the group carry in the place of a part, millionths of a request/s."""
        key = side, stages, nodes, tp
        if key not in self._places:
            self._places[key] = self.apart[side].most_in_place_of(StagePart(stages, nodes, tp * stages // nodes), tp)
        return self._places[key]


def _rising(most: int, exact: int) -> Ints:
    """1, 2, … up to ``exact``, then in growing steps up to the most."""
    found = list(range(1, min(most, exact) + 1))
    while found[-1] < most:
        found.append(min(most, max(found[-1] + 1, int(found[-1] * _FINER))))
    return np.array(found, dtype=np.int64)


@lru_cache(maxsize=4096)
def _layers_ahead(layers: int, stages: tuple[int, int]) -> Ints:
    return layers_ahead(layers, stages)


def layers_ahead(layers: int, stages: tuple[int, int]) -> Ints:
    """Layers that the first part may hold: those of one part a multiple of its stages, the rest shared evenly by the other's.

    Any other division has stages of one part that hold more than these at no gain to the other part.
    """
    first, second = stages
    held = {*range(first, layers - second + 1, first), *(layers - n for n in range(second, layers - first + 1, second))}
    return np.array(sorted(held), dtype=np.int64)


def parts_of(some: Prospects, tensor: Sequence[int]) -> tuple[Ints, Ints]:
    """(nodes, GPUs on each node) of both parts of prospects, (J, 2) each."""
    tp = np.array(tensor, dtype=np.int64)[some.width] if len(some) else np.zeros(0, dtype=np.int64)
    each: Ints = tp[:, None] * some.stages // some.nodes
    return some.nodes, each
