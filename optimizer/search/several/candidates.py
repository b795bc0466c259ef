"""What each model may choose: for every way to stand on nodes, the best strategy that stands so.

A model on N of the equal nodes is the question about equal nodes with N of them, and everything that its rules, its times and its
failures depend on is in there. All that the other models see of a choice is its ``Footprint``; so of the strategies with one
footprint the best is kept, and a footprint that takes no less than another that is no worse is left out.

Other home: ``verify/several/candidates.py``; docs/several.md, sections 2 and 3.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from optimizer.costs.shapes import Bools, Ints
from optimizer.facts.base import LARGEST_COUNT
from optimizer.facts.errors import ProblemError, closest
from optimizer.facts.hardware import HardwareFacts
from optimizer.facts.problem import Problem
from optimizer.facts.several import ModelEntry
from optimizer.results.answer import Fixed
from optimizer.results.rule_groups import STATIC_RULES
from optimizer.search.uniform.oracle import subspace
from optimizer.search.uniform.quantities import Quantities
from optimizer.search.uniform.rule import Choice
from optimizer.search.uniform.rules import rule_ids
from optimizer.search.uniform.screen import Screen, first_tier, objective_at_most_slots
from optimizer.search.uniform.space import SpaceTooLargeError, build_space, tie_rank


@dataclass(frozen=True, slots=True, order=True)
class Footprint:
    """What a choice takes of the nodes."""

    nodes: int
    """N: nodes that its instances are spread over evenly."""
    instance_gpus: int
    """S."""
    instances: int
    """K."""
    whole: bool
    """Whether it takes the nodes whole, because instances span nodes or TP groups could not share one."""

    @property
    def each(self) -> int:
        """Instances on every node; of whole nodes none are counted."""
        return 0 if self.whole else self.instances // self.nodes

    @property
    def more(self) -> int:
        """Nodes that hold one instance more."""
        return 0 if self.whole else self.instances % self.nodes

    def taken(self, per_node: int) -> tuple[int, int]:
        """(GPUs on every node of it, GPUs more on the nodes with one instance more)."""
        return (per_node, 0) if self.whole else (self.each * self.instance_gpus, self.instance_gpus)


@dataclass(frozen=True, slots=True)
class SharedCandidate:
    """The best strategy with a footprint: its tiers, smaller is better (ns, or the preset's own unit)."""

    footprint: Footprint
    first: int
    value: int
    gpus: int
    quantities: Quantities
    choice: Choice


def shares_nodes(hardware: HardwareFacts, tp: Ints, instance_gpus: Ints, instances: Ints) -> Bools:
    """Whether strategies leave the rest of their nodes to others, (Q,): no instance spans nodes, and any GPUs of a node will do.

    Where NVLink domains are parts of a node, TP groups of powers of two fit into whatever others of that sort leave.
    """
    node, domain = hardware.gpus_per_node, hardware.nvlink_domain_gpus
    inside = (instance_gpus <= node) & (instances <= hardware.nodes * (node // np.maximum(instance_gpus, 1)))
    if hardware.nvlink_gb_per_s == 0 or domain >= node:
        return np.asarray(inside)
    twos = (tp & (tp - 1)) == 0
    if node & (node - 1) or domain & (domain - 1):
        twos = tp == 1
    return np.asarray(inside & twos)


class ModelCandidates:
    """The candidates of one model, by the nodes it is spread over; tables are computed when first asked for and kept.

    Raises:
        ProblemError: an unknown rule is switched off, or the space is too large; the message names the model's field.
    """

    def __init__(self, served: ModelEntry, number: int) -> None:
        self.served, self.number = served, number
        self._tables: dict[int, list[Quantities]] = {}
        self._found: dict[tuple[int, frozenset[str]], list[SharedCandidate]] = {}
        for one in self.problems(1):
            known = rule_ids(one)
            for rule in one.search.disabled_rules:
                if rule not in known:
                    field = f"models.{number}.search.disabled_rules"
                    raise ProblemError(field, f"no rule {rule!r} applies to this model; {closest(rule, known)}")

    def problems(self, nodes: int) -> list[Problem]:
        """Its question on so many nodes, with each choice of what is left open beside the strategy."""
        problem = self.served.on(nodes)
        return [problem.decided(choice) for choice in problem.variants()]

    def on(self, nodes: int, without: Collection[str] = ()) -> list[SharedCandidate]:
        """The candidates on exactly so many nodes, best of each footprint.

        Args:
            without: rules left out, for the reasons of a conflict.
        """
        key = nodes, frozenset(without)
        if key not in self._found:
            self._found[key] = [
                one for quantities in self._quantities(nodes) for one in _of_footprints(quantities, nodes, without)
            ]
        return self._found[key]

    def fixed_on(self, nodes: int, fixed: Fixed) -> list[SharedCandidate]:
        """The candidates on exactly so many nodes that have a person's decisions and keep every rule of the model."""
        found: list[SharedCandidate] = []
        for problem in self.problems(nodes):
            quantities = Quantities(problem, build_space(problem, fixed))
            if quantities.space.rows:
                found += _of_footprints(quantities, nodes, (), fixed)
        return found

    def within(self, nodes: int, without: Collection[str] = ()) -> list[SharedCandidate]:
        """Those on up to so many nodes that no other makes pointless, in a fixed order."""
        every = [one for spread in range(1, nodes + 1) for one in self.on(spread, without)]
        return not_dominated(every)

    def _quantities(self, nodes: int) -> list[Quantities]:
        if nodes not in self._tables:
            found = []
            for problem in self.problems(nodes):
                try:
                    space = build_space(problem)
                except SpaceTooLargeError as error:
                    raise ProblemError(f"models.{self.number}.search", str(error)) from None
                # What breaks a rule on degrees or bytes is dropped before times are computed, unless that rule is asked about.
                known = Screen(Quantities(problem, space), None, STATIC_RULES).viable
                rows = np.flatnonzero(known)
                if len(rows):
                    found.append(Quantities(problem, subspace(space, rows)))
            self._tables[nodes] = found
        return self._tables[nodes]

    @property
    def rules(self) -> tuple[str, ...]:
        """Rules that are on and that a conflict may leave out: those beside degrees and bytes."""
        problem = self.problems(1)[0]
        off = set(problem.search.disabled_rules) | STATIC_RULES
        return tuple(rule for rule in rule_ids(problem) if rule not in off)


def footprint_of(quantities: Quantities, nodes: int, choice: Choice) -> SharedCandidate:
    """One strategy, whatever rules it breaks."""
    space, row = quantities.space, choice.row
    size, instances, tp = space.column("instance_gpus"), space.instances, space.column("tp")
    shares = bool(shares_nodes(quantities.problem.hardware, tp, size, instances)[row])
    most = np.full(space.rows, choice.max_num_seqs, dtype=np.int64)
    return SharedCandidate(
        Footprint(nodes, int(size[row]), int(instances[row]), not shares),
        int(first_tier(quantities, most)[row]),
        int(objective_at_most_slots(quantities, most)[row]),
        int(space.gpus[row]),
        quantities,
        choice,
    )


def _of_footprints(
    quantities: Quantities, nodes: int, without: Collection[str], fixed: Fixed | None = None
) -> list[SharedCandidate]:
    space = quantities.space
    enforced = None
    if without:
        enforced = set(rule_ids(quantities.problem)) - set(without)
    screen = Screen(quantities, fixed, enforced)
    size, instances = space.column("instance_gpus"), space.instances
    shares = shares_nodes(quantities.problem.hardware, space.column("tp"), size, instances)
    rows = np.flatnonzero(screen.viable & ~(shares & (instances < nodes)))
    if not len(rows):
        return []
    first, value = first_tier(quantities, screen.most), objective_at_most_slots(quantities, screen.most)
    rank = tie_rank(space)
    order = rows[np.lexsort((rank[rows], value[rows], first[rows]))]
    found: dict[Footprint, SharedCandidate] = {}
    for row in order.tolist():
        footprint = Footprint(nodes, int(size[row]), int(instances[row]), not bool(shares[row]))
        if footprint not in found:
            choice = Choice(row, int(screen.most[row]))
            found[footprint] = SharedCandidate(
                footprint, int(first[row]), int(value[row]), int(space.gpus[row]), quantities, choice
            )
    return list(found.values())


def not_dominated(every: list[SharedCandidate]) -> list[SharedCandidate]:
    """Candidates of which no other takes no more, place by place, and is no worse in any tier.

    Of one size on one number of nodes fewer instances take no more anywhere; whole nodes take no less than anything on as many.
    """

    def worth(one: SharedCandidate) -> tuple[int, int, int]:
        return one.first, one.value, one.gpus

    fewest: dict[tuple[int, int], int] = {}
    nodes_of_any = LARGEST_COUNT
    kept: list[SharedCandidate] = []
    for one in sorted(every, key=lambda one: (worth(one), one.footprint)):
        mine = one.footprint
        key = mine.nodes, mine.instance_gpus
        if mine.whole:
            pointless = nodes_of_any <= mine.nodes
        else:
            pointless = fewest.get(key, LARGEST_COUNT) <= mine.instances
            fewest[key] = min(mine.instances, fewest.get(key, LARGEST_COUNT))
        nodes_of_any = min(nodes_of_any, mine.nodes)
        if not pointless:
            kept.append(one)
    return kept
