"""The extended question: the candidates that were considered, and those that a larger cluster or an open search would add.

The same rules and costs as always, over more rows: further formats, degrees that were not offered, options switched off,
and more nodes. What keeps a row out of the stated question is a bit of its mask, like a rule that it breaks, so search
limits and the GPU count take part in conflicts and repairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np

from optimizer.costs.shapes import Bools, Ints
from optimizer.explain.common.patience import Patience
from optimizer.explain.common.relaxations import Relaxation
from optimizer.explain.uniform.relaxations import make, relaxations_of
from optimizer.explain.uniform.thin import GROWTHS, MOST_ROWS, Thinner
from optimizer.facts.problem import Problem
from optimizer.reading.stated import Stated
from optimizer.results.answer import Fixed, Repair
from optimizer.results.rule_groups import STATIC_RULES
from optimizer.search.uniform.oracle import derived, subspace
from optimizer.search.uniform.quantities import Quantities
from optimizer.search.uniform.rules import rule_ids
from optimizer.search.uniform.screen import Screen
from optimizer.search.uniform.space import Space, SpaceTooLargeError, build_space, pipeline_degrees, tensor_degrees
from optimizer.search.uniform.violations import violation_masks

CANDIDATES = {
    "fp8 weights": "weight_precision",
    "fp8 KV": "kv_precision",
    "tensor_parallel": "tensor_parallel",
    "pipeline_parallel": "pipeline_parallel",
    "data_parallel": "data_parallel",
    "expert_parallel": "expert_parallel",
}
"""Search limit in a conflict, by relaxation."""


class WideSearch:
    """Masks of the extended question, for one problem and one set of fixed decisions.

    Args:
        repairs: False where only conflicts are asked for, in which no other GPU can be a member.
    """

    def __init__(self, stated: Stated, problem: Problem, fixed: Fixed | None = None, *, repairs: bool = True) -> None:
        self.stated, self.problem, self.fixed = stated, problem, fixed
        self.relaxations = relaxations_of(stated, problem, fixed, gpus=repairs)
        self.sampled = False
        """Whether rows of the stated question were left out, because there are many; known once masks were asked for."""
        self.patience = Patience()
        """Time for ``relaxation_masks``; none has passed as long as nobody sets it."""
        self.skipped: set[str] = set()
        """Search limits that stayed closed for the same reason; known once masks were asked for."""
        off = set(problem.search.disabled_rules)
        self.rules = tuple(rule for rule in rule_ids(problem) if rule not in off)
        candidates = [CANDIDATES[relaxation.id] for relaxation in self.relaxations if relaxation.id in CANDIDATES]
        self.members: tuple[str, ...] = (*self.rules, *candidates)
        """Rules and search limits that a conflict may name."""

    @property
    def member_bits(self) -> dict[str, int]:
        """The bit of each possible member of a conflict."""
        return {name: 1 << i for i, name in enumerate(self.members)}

    @property
    def relaxation_bits(self) -> dict[str, int]:
        """The bit of each relaxation."""
        return {relaxation.id: 1 << i for i, relaxation in enumerate(self.relaxations)}

    def relaxation(self, id: str) -> Relaxation | None:
        """A relaxation by its id; None when it cannot move here."""
        return next((relaxation for relaxation in self.relaxations if relaxation.id == id), None)

    @cached_property
    def _near(self) -> Quantities | None:
        """Quantities over the stated GPUs with every search limit open."""
        return self._open({}, everything=True)

    @cached_property
    def _far(self) -> Quantities | None:
        """Quantities over many more nodes; rows whose memory no relaxation can mend are left out."""
        relaxation = self.relaxation("nodes")
        if relaxation is None or relaxation.full is None:
            return None
        whole = self._open(dict(relaxation.full), everything=False)
        if whole is None:
            return None
        loosest = make(self.stated, relaxation.full, *self._full("limit", "context", "candidate"))
        if loosest is None:
            return None
        active = STATIC_RULES - {"gpu_count"}
        rows = np.flatnonzero(Screen(Quantities(loosest, whole.space), self.fixed, active).viable)
        return Quantities(whole.problem, subspace(whole.space, rows)) if len(rows) else None

    def _full(self, *kinds: str) -> list[Any]:
        return [
            relaxation.full
            for relaxation in self.relaxations
            if relaxation.kind in kinds and relaxation.full is not None
        ]

    def _open(self, changes: dict[str, Any], *, everything: bool) -> Quantities | None:
        """Rows with the search opened; the problem they are judged by keeps its stated limits."""
        judged = make(self.stated, changes)
        candidates = [
            relaxation
            for relaxation in self.relaxations
            if relaxation.kind == "candidate" and relaxation.full is not None
        ]
        formats = ("layer_imbalance", "fp8 KV", "fp8 weights")
        choices = ((), formats[:1], formats[:2], formats)
        # Fewer numbers of replicas before a closed search: what is closed would look as if it could not help.
        tries = [*product(GROWTHS, choices), *product(GROWTHS, (tuple(relaxation.id for relaxation in candidates),))]
        opened: dict[tuple[str, ...], Thinner | None] = {}
        for growth, skipped in tries:
            if skipped not in opened:
                opened[skipped] = self._opened(
                    changes, [relaxation for relaxation in candidates if relaxation.id not in skipped]
                )
            thinner = opened[skipped]
            if judged is None or thinner is None:
                continue
            space = thinner.space
            rows = np.arange(space.rows) if everything and space.rows <= MOST_ROWS else thinner.rows(growth)
            if len(rows) <= MOST_ROWS:
                self.sampled |= everything and len(rows) < space.rows
                self.skipped |= set(skipped)
                return Quantities(judged, subspace(space, rows)) if len(rows) else None
        return None

    def _opened(self, changes: dict[str, Any], candidates: list[Relaxation]) -> Thinner | None:
        """The space with some search limits open, to be thinned; None when it is too large or the facts refuse it."""
        opened = make(self.stated, changes, *[relaxation.full for relaxation in candidates if relaxation.full])
        try:
            space = build_space(opened, self.fixed) if opened is not None else None
        except SpaceTooLargeError:
            space = None
        return Thinner(space, self.problem.search.data_parallel or ()) if space is not None else None

    def _candidate_bits(self, space: Space, bits: dict[str, int], names: dict[str, str]) -> Ints:
        """Bits of the search limits that keep each row out of the stated question, (R,)."""
        problem, fixed = self.problem, self.fixed or Fixed()
        total: Ints = np.zeros(space.rows, dtype=np.int64)

        def add(relaxation: str, outside: Bools) -> None:
            name = names.get(relaxation)
            if name in bits:
                np.bitwise_or(total, np.where(outside, bits[name], 0), out=total)

        weights = problem.search.weight_precision or (problem.model.native_weight_format,)
        caches = problem.search.kv_precision or (problem.model.native_kv_format,)
        of_weights = np.array([shape.weight_format not in weights for shape in space.shapes])
        of_caches = np.array([shape.kv_format not in caches for shape in space.shapes])
        add("fp8 weights", of_weights[space.row_shape])
        add("fp8 KV", of_caches[space.row_shape])
        tp, ep = space.column("tp"), space.column("ep")
        if fixed.tensor_parallel is None:
            add("tensor_parallel", ~np.isin(tp, tensor_degrees(problem)))
        if fixed.pipeline_parallel is None and fixed.layers_per_stage is None:
            add("pipeline_parallel", ~np.isin(space.column("pp"), pipeline_degrees(problem)))
        if problem.search.data_parallel is not None and fixed.data_parallel is None:
            add("data_parallel", ~np.isin(space.row_dp, problem.search.data_parallel))
        if fixed.expert_parallel is None:
            allowed = {"off": ep == 1, "replica": (ep == 1) | (ep == tp)}.get(problem.search.expert_parallel)
            if allowed is not None:
                add("expert_parallel", ~allowed)
        return total

    @cached_property
    def member_masks(self) -> list[int]:
        """Minimal masks of broken rules and search limits over the extended question."""
        bits = self.member_bits
        rules = {rule: bits[rule] for rule in self.rules}
        found = [violation_masks(quantities, rules, outside, self.fixed) for quantities, outside in self.worlds]
        return smallest(np.concatenate(found)) if found else []

    def given_up(self, repair: Repair) -> int:
        """The mask of what a repair gives up; 0 where it changes a fact (rate, context, GPU), which no member stands for."""
        bits, mask = self.member_bits, 0
        for change in repair.changes:
            relaxation = next((relaxation for relaxation in self.relaxations if relaxation.field == change.field), None)
            if relaxation is None:
                return 0
            given = [bits[name] for name in (*relaxation.rules, CANDIDATES.get(relaxation.id, "")) if name in bits]
            if not given:
                return 0
            mask |= sum(given)
        return mask

    @property
    def worlds(self) -> list[tuple[Quantities, Ints]]:
        """Quantities of the extended question, each with the bits of search limits and GPU count by row."""
        bits, found = self.member_bits, []
        names = {relaxation: member for relaxation, member in CANDIDATES.items() if member in self.members}
        if self._near is not None:
            found.append((self._near, self._candidate_bits(self._near.space, bits, names)))
        if self._far is not None and "gpu_count" in bits:
            outside = self._candidate_bits(self._far.space, bits, names) | bits["gpu_count"]
            found.append((self._far, outside))
        return found

    @cached_property
    def relaxation_masks(self) -> list[int]:
        """Minimal sets of relaxations, as masks, that together make the problem feasible.

        Raises:
            TimeUpError: ``patience`` ended before.
        """
        bits, found = self.relaxation_bits, []
        rules = {
            rule: bits[relaxation.id]
            for relaxation in self.relaxations
            if relaxation.kind == "limit"
            for rule in relaxation.rules
        }
        names = {relaxation: relaxation for relaxation in bits}
        layer_bit = bits.get("layer_imbalance", 0)
        if layer_bit:
            rules["layer_split"] = layer_bit
        for quantities, changes, world in (
            (self._near, None, 0),
            (self._far, self.relaxation("nodes"), bits.get("nodes", 0)),
        ):
            if quantities is None:
                continue
            base = [changes.full] if changes is not None and changes.full else []
            outside = self._candidate_bits(quantities.space, bits, names) | world
            for facts in (("rate",), ("context",), ("rate", "context"), ()):
                moved = [
                    relaxation
                    for relaxation in self.relaxations
                    if relaxation.kind in facts and relaxation.full is not None
                ]
                if len(moved) < len(facts):
                    continue
                self.patience.ask()
                full = [*base, *[relaxation.full for relaxation in moved if relaxation.full]]
                judged = make(self.stated, *full)
                loose = make(self.stated, *full, *self._full("limit"), *self._full("candidate"))
                if judged is None or loose is None:
                    continue
                extra = sum(bits[relaxation.id] for relaxation in moved)
                found.append(violation_masks(derived(quantities, judged), rules, outside | extra, self.fixed, loose))
        return smallest(np.concatenate(found)) if found else []


def smallest(masks: Ints | Sequence[int]) -> list[int]:
    """The masks that contain no other, fewest bits first."""
    kept: list[int] = []
    for mask in sorted({int(m) for m in masks}, key=lambda m: (m.bit_count(), m)):
        if not any(other & mask == other for other in kept):
            kept.append(mask)
    return kept
