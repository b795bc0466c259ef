"""A proposed placement in the search's own terms: the candidate of each shape, the plan, and where every instance stands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from optimizer.facts.errors import ProblemError
from optimizer.facts.inventory import InventoryProblem
from optimizer.facts.proposal import Proposal, ProposedInstance
from optimizer.results.answer import Fixed
from optimizer.search.inventory.candidate import InstanceCandidate, kind_key
from optimizer.search.inventory.candidates import Candidates, Place
from optimizer.search.inventory.group_types import GroupType
from optimizer.search.inventory.placing import place
from optimizer.search.inventory.plan import Entry, Plan, Stand
from optimizer.search.inventory.valuation import SHARES, LoadSplit, Valuation

SHARE_NOISE = 0.005
"""Stated shares may differ from 1 in all by so much; they are brought to whole thousandths."""


class ShapeNotAllowed(Exception):
    """No instance of a proposed shape keeps the rules about one instance on its groups."""

    def __init__(self, instance: ProposedInstance, fixed: Fixed) -> None:
        super().__init__(str(fixed))
        self.instance, self.fixed = instance, fixed


class ProposedCandidates(Candidates):
    """The candidates that were proposed and no others: one kind for each shape on groups that are alike."""

    def __init__(self, problem: InventoryProblem, group_types: Sequence[GroupType], places: Sequence[Place]) -> None:
        self.problem = problem
        self.group_types = list(group_types)
        self.places = list(places)
        self._alone, self._pairs, self._curves = [], None, {}
        self._with_pairs = False

    @property
    def considered(self) -> int:
        """Shapes that were looked at."""
        return len(self.group_types)


@dataclass(frozen=True)
class ProposedPlan:
    """The plan, where it stands (None: it finds no room), and the shares (None: some family cannot be sent any)."""

    candidates: ProposedCandidates
    valuation: Valuation
    plan: Plan
    stands: tuple[Stand, ...] | None
    split: LoadSplit | None


Taken = set[tuple[tuple[int, int], int]]
"""GPUs, by their node (group, index in the group) and number there, that instances stand on."""


def proposed_plan(problem: InventoryProblem, proposal: Proposal, taken: Taken | None = None) -> ProposedPlan:
    """What a proposal says.

    Args:
        taken: GPUs that other models take, which instances that name nodes only do not choose; their own are added.

    Raises:
        ProblemError: a group or node is not there, or parts of the proposal contradict each other.
        ShapeNotAllowed: a shape that no rule about one instance allows.
    """
    names = [group.name for group in problem.groups]
    group_types: list[GroupType] = []
    kind_of: dict[tuple[object, ...], tuple[int, int]] = {}
    places: dict[tuple[tuple[int, ...], int, int], int] = {}
    members: list[list[tuple[int, ProposedInstance]]] = []
    for number, one in enumerate(proposal.instances):
        groups = tuple(_group(names, name, number) for name in one.groups)
        key = (tuple(kind_key(problem.groups[g]) for g in groups), _together(problem, groups), _fixed(one))
        if key not in kind_of:
            kind, position = _candidate(problem, groups, one)
            kind_of[key] = len(group_types), position
            group_types.append(kind)
        where = (groups, *kind_of[key])
        if where not in places:
            places[where] = len(members)
            members.append([])
        members[places[where]].append((number, one))
    candidates = ProposedCandidates(problem, group_types, [Place(groups, kind) for groups, kind, _ in places])
    entries = tuple(
        Entry(index, position, sum(one.count for _, one in members[index]))
        for (_, _, position), index in places.items()
    )
    plan = Plan(entries)
    valuation = Valuation(problem, candidates)
    stated = _stated_split(problem, valuation, plan, members)
    split = stated if stated is not None else valuation.split(plan)
    return ProposedPlan(
        candidates,
        valuation,
        plan,
        _stands(problem, candidates, plan, members, set() if taken is None else taken),
        split,
    )


def _group(names: Sequence[str], name: str, number: int) -> int:
    from optimizer.facts.errors import closest

    if name not in names:
        raise ProblemError(f"instances.{number}.group", f"no group {name!r}; {closest(name, names)}")
    return names.index(name)


def _together(problem: InventoryProblem, groups: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(problem.groups[g].nodes_together for g in groups)


def _fixed(one: ProposedInstance) -> Fixed:
    return Fixed(
        tensor_parallel=one.tp,
        pipeline_parallel=one.pp,
        expert_parallel=one.ep,
        expert_slice_ranks=one.expert_slice_ranks,
        decode_context_parallel=one.dcp,
        layers_per_stage=one.layers,
        weight_precision=one.weights,
        kv_precision=one.kv,
    )


def _candidate(problem: InventoryProblem, groups: tuple[int, ...], one: ProposedInstance) -> tuple[GroupType, int]:
    """The kind and the position of the best candidate of a shape: the one that carries most."""
    fixed = _fixed(one)
    part = problem.model_copy(update={"groups": tuple(problem.groups[g] for g in groups), "domains": ()})
    there = Candidates(part, fixed, pairs=len(groups) > 1)
    if len(groups) > 1:
        there.admit()
    found: list[tuple[int, int, GroupType]] = []
    wanted = tuple(range(len(groups)))
    for stand in there.places:
        if stand.groups != wanted:
            continue
        kind = there.group_types[stand.kind]
        kind.widen()
        for position, candidate in enumerate(kind.candidates):
            if one.layers in (None, candidate.shape.layers_per_stage):
                found.append((candidate.capacity, -position, kind))
    if not found:
        raise ShapeNotAllowed(one, fixed)
    _, position, kind = max(found, key=lambda each: each[:2])
    return kind, -position


def _stated_split(
    problem: InventoryProblem,
    valuation: Valuation,
    plan: Plan,
    members: Sequence[Sequence[tuple[int, ProposedInstance]]],
) -> LoadSplit | None:
    """The shares as stated, in whole thousandths of each family; None where none is stated."""
    every = [pair for entry in members for pair in entry]
    silent = [number for number, one in every if one.share is None]
    if len(silent) == len(every):
        return None
    if silent:
        raise ProblemError(f"instances.{silent[0]}.share", "is left out while others state theirs; state all or none")
    candidates = valuation.candidates
    families = plan.families(candidates)
    shares: dict[tuple[int, int], list[tuple[int, float]]] = {family: [] for family in families}
    for entry, there in zip(plan.entries, members, strict=True):
        family = candidates.places[entry.place].kind, entry.candidate
        shares[family] += [(number, one.share or 0.0) for number, one in there for _ in range(one.count)]
    for each in shares.values():
        for number, share in each:
            if abs(share - each[0][1]) > SHARE_NOISE * each[0][1]:
                raise ProblemError(
                    f"instances.{number}.share",
                    f"{share:g} differs from the {each[0][1]:g} of an equal instance; a router sends equal instances equally many",
                )
    totals = [sum(share for _, share in shares[family]) for family in families]
    if abs(sum(totals) - 1) > SHARE_NOISE:
        raise ProblemError("instances.share", f"the shares add up to {sum(totals):g}; they have to be 1 in all")
    thousandths = [max(1, round(total / sum(totals) * SHARES)) for total in totals]
    thousandths[thousandths.index(max(thousandths))] += SHARES - sum(thousandths)
    counts = plan.family_counts(candidates)
    demand = problem.workload.requests_per_s
    rates = tuple(s * demand / SHARES / n for s, n in zip(thousandths, counts, strict=True))
    means = valuation.means(families, np.array([rates]))[0]
    mean = sum(s / SHARES * float(each) for s, each in zip(thousandths, means, strict=True))
    return LoadSplit(tuple(thousandths), rates, mean)


def _stands(
    problem: InventoryProblem,
    candidates: Candidates,
    plan: Plan,
    members: Sequence[Sequence[tuple[int, ProposedInstance]]],
    taken: Taken,
) -> tuple[Stand, ...] | None:
    """Where every instance stands, in order of entries; None where they are to be placed and find no room."""
    every = [pair for entry in members for pair in entry]
    silent = [number for number, one in every if one.nodes is None]
    if len(silent) == len(every):
        if any(one.gpus is not None for _, one in every):
            raise ProblemError("instances.gpus", "needs nodes, in rank order")
        return place(problem, candidates, plan)
    if silent:
        raise ProblemError(f"instances.{silent[0]}.nodes", "is left out while others name theirs; name all or none")
    stands: dict[int, Stand] = {}
    entry_of = {number: index for index, entry in enumerate(members) for number, _ in entry}
    # Those that name their GPUs go first, so that others take what is left.
    for number, one in sorted(every, key=lambda pair: pair[1].gpus is None):
        if one.count != 1:
            raise ProblemError(f"instances.{number}.count", f"{one.count} instances cannot stand on the same nodes")
        entry = plan.entries[entry_of[number]]
        candidate = candidates.group_types[candidates.places[entry.place].kind].candidates[entry.candidate]
        stands[number] = _stand(problem, candidates, entry_of[number], candidate, number, one, taken)
    ordered = sorted(stands, key=lambda number: (entry_of[number], number))
    return tuple(stands[number] for number in ordered)


def _stand(
    problem: InventoryProblem,
    candidates: Candidates,
    entry: int,
    candidate: InstanceCandidate,
    number: int,
    one: ProposedInstance,
    taken: Taken,
) -> Stand:
    names = {group.node_name(node): (g, node) for g, group in enumerate(problem.groups) for node in range(group.nodes)}
    groups = [part for part in candidate.parts for _ in range(part.nodes)]
    where = f"instances.{number}.nodes"
    given = one.nodes or ()
    if len(given) != len(groups):
        raise ProblemError(where, f"names {len(given)}; an instance TP{one.tp}·PP{one.pp} needs {len(groups)} here")
    nodes: list[tuple[int, int]] = []
    gpus: list[tuple[int, ...]] = []
    for name, part in zip(given, groups, strict=True):
        if name not in names:
            from optimizer.facts.errors import closest

            raise ProblemError(where, f"no node {name!r}; {closest(name, names)}")
        node = names[name]
        stated = None if one.gpus is None else one.gpus.get(name)
        if stated is not None and len(stated) != part.gpus_per_node:
            raise ProblemError(
                f"instances.{number}.gpus.{name}",
                f"names {len(stated)} GPUs; the instance has {part.gpus_per_node} there",
            )
        chosen = tuple(stated) if stated is not None else _free(problem, node, part.gpus_per_node, one.tp, taken)
        taken.update((node, gpu) for gpu in chosen)
        nodes.append(node)
        gpus.append(chosen)
    return Stand(entry, tuple(nodes), tuple(gpus))


def _free(problem: InventoryProblem, node: tuple[int, int], wanted: int, tp: int, taken: Taken) -> tuple[int, ...]:
    """GPUs of a node: an aligned block that is free, else the first free ones, else the first (the check then says so)."""
    group = problem.groups[node[0]]
    free = [gpu for gpu in range(group.free_gpus) if (node, gpu) not in taken]
    for start in range(0, group.free_gpus - wanted + 1, min(wanted, tp) or 1):
        block = range(start, start + wanted)
        if all(gpu in free for gpu in block):
            return tuple(block)
    return tuple(free[:wanted]) if len(free) >= wanted else tuple(range(wanted))


def clashes(problem: InventoryProblem, stands: Sequence[Stand]) -> list[str]:
    """Sentences about GPUs that are not there, not free, or used twice."""
    said: list[str] = []
    seen: dict[tuple[tuple[int, int], int], int] = {}
    for number, stand in enumerate(stands):
        for node, gpus in zip(stand.nodes, stand.gpus, strict=True):
            group = problem.groups[node[0]]
            for gpu in gpus:
                name = f"{group.node_name(node[1])}/gpu-{gpu}"
                if gpu >= group.free_gpus:
                    said.append(f"{name} is not free: {group.name} has {group.free_gpus} free GPUs on each node.")
                first = seen.setdefault((node, gpu), number)
                if first != number:
                    said.append(f"{name} is used by two instances, replica-{first} and replica-{number}.")
    return said
