"""The least hardware that meets everything: GPU type, count and strategy as one decision, not one after the other."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from optimizer.facts.errors import ProblemError, closest
from optimizer.facts.problem import Problem
from optimizer.questions.many import ProblemFamily, family_key
from optimizer.questions.uniform import ALTERNATIVES, solve
from optimizer.reading.question import kind_of_values
from optimizer.reading.stated import Stated
from optimizer.results.answer import Answer
from optimizer.results.pools import PoolsAnswer
from optimizer.results.side_by_side import SideBySideAnswer
from optimizer.search.uniform.joint import MachineChoice, best_machines
from optimizer.search.uniform.rules import rule_ids
from optimizer.search.uniform.screen import Screen
from optimizer.search.uniform.space import SpaceTooLargeError
from optimizer.sweeps.nodes import Counts
from optimizer.sweeps.points import Spec, point_of, point_of_any
from optimizer.sweeps.recommendation import Least, Recommendation
from optimizer.sweeps.run import plan, stated_for
from optimizer.sweeps.work import Maker

if TYPE_CHECKING:
    from optimizer.reading.question import AnyProblem

__all__ = ["Least", "Recommendation", "recommend"]

DEFAULT_COUNTS = "1..64"
PRICE_UNIT = 10**6
"""Prices per hour are compared in millionths."""


@dataclass(frozen=True, slots=True)
class _Hardware:
    spec: Spec
    problem: Problem
    notes: tuple[str, ...]
    cost: int


def recommend(
    problem: str | Path | AnyProblem | Stated,
    gpus: str | Iterable[int] | None = None,
    types: Sequence[str] | None = None,
    *,
    least: Least = "gpus",
    by: Literal["gpu", "node"] = "gpu",
    prices: Mapping[str, float] | None = None,
    nodes: Mapping[str, Counts] | None = None,
    time_limit_s: float | None = None,
) -> Recommendation:
    """The least GPUs, or the least price per hour, with which every rule holds; then the best strategy on them.

    Of an inventory: which of its groups to buy or rent, and how many nodes of each.

    Args:
        problem: a problem file, or what ``load_problem`` made of one.
        gpus: counts allowed, as for ``sweep``; left out, 1 to 64.
        types: GPU types allowed, by catalog name; left out, the stated one.
        least: what is made least: GPUs there are, or their price per hour.
        by: ``"node"`` allows whole nodes only.
        prices: price per GPU and hour by GPU name, for hardware that states none.
        nodes: of an inventory, in place of ``gpus`` and ``types``: nodes allowed by the name of the group, e.g. ``{"h100": "0..4"}``;
            groups that are not named stand as stated. Left out, any number up to those that the file states, of every group.
        time_limit_s: of an inventory.

    Raises:
        ProblemError: the problem or the counts cannot be used, or a price is missing.
    """
    stated = stated_for(problem)
    if kind_of_values(stated.values) == "inventory":
        if gpus is not None or types is not None:
            option = "--gpus" if gpus is not None else "--types"
            raise ProblemError(
                option,
                "is for equal nodes; what may be bought of an inventory are nodes of its groups: --nodes h100=0..4",
            )
        from optimizer.sweeps.recommend_inventory import recommend_inventory

        return recommend_inventory(stated, nodes, least, dict(prices or {}), time_limit_s)
    scenarios = {"cross": {"hardware.gpu": list(types)}} if types else None
    asked = plan(
        stated,
        DEFAULT_COUNTS if gpus is None else gpus,
        scenarios,
        by=by,
        prices=prices,
        nodes=nodes,
        time_limit_s=time_limit_s,
    )
    hardware = _hardware(asked.specs, Maker(asked.stated, asked.prices), least)
    if any(one.problem.workload.users is not None or one.problem.serving != "joint" for one in hardware):
        return _one_by_one(hardware, least)
    families = _families([one.problem for one in hardware])
    machines: list[tuple[_Hardware, MachineChoice]] = []
    refused: list[_Hardware] = []
    enough: int | None = None
    for one in hardware:
        # What costs more than something that is enough cannot be the least: this bound keeps it out of the model.
        if enough is not None and one.cost > enough:
            break
        part = families[family_key(one.problem)].part(one.problem)
        if part is not None and Screen(part).viable.any():
            enough = one.cost
            machines.append((one, MachineChoice(part, one.cost)))
        else:
            refused.append(one)
    return _told(hardware, machines, refused, families, least)


def _one_by_one(hardware: Sequence[_Hardware], least: Least) -> Recommendation:
    """The least hardware where each has to be solved for by itself: the cheapest first, until one is enough.

    Of equal cost the first asked that is enough is taken, and no other is compared with it. It is the least where each that costs
    less was proved not enough.
    """
    refused: dict[str, _Hardware] = {}
    verified, settled, count = True, True, 0
    point, cost = None, None
    for one in hardware:
        answer = _asked(one.problem, reasons=False)
        verified = verified and answer.verification.passed
        if answer.status in ("optimal", "feasible"):
            point = point_of_any(one.spec, one.problem, answer, one.notes)
            cost = one.cost / PRICE_UNIT if least == "price" else float(one.cost)
            break
        refused[one.problem.hardware.gpu.name] = one
        settled = settled and answer.status == "infeasible"
        count += 1
    below = tuple(
        point_of_any(one.spec, one.problem, _asked(one.problem, reasons=True), one.notes) for one in refused.values()
    )
    return Recommendation(least, point, cost, below, len(hardware), count, verified, proved=verified and settled)


def _asked(problem: Problem, *, reasons: bool) -> Answer | PoolsAnswer | SideBySideAnswer:
    """The answer at one hardware; why there is none is looked for where it will be shown."""
    if problem.serving != "joint":
        from optimizer.questions.solve import solve as any_serving

        return any_serving(problem, repairs=False)
    return solve(problem, reasons=reasons, repairs=False, alternatives=0 if not reasons else ALTERNATIVES)


def _told(
    hardware: Sequence[_Hardware],
    machines: Sequence[tuple[_Hardware, MachineChoice]],
    not_enough: Sequence[_Hardware],
    families: Mapping[Hashable, ProblemFamily],
    least: Least,
) -> Recommendation:
    refused = [(one, families[family_key(one.problem)].infeasible(one.problem)) for one in not_enough]
    verified = all(answer.verification.passed for _, answer in refused)
    largest: dict[str, tuple[_Hardware, Answer]] = {one.problem.hardware.gpu.name: (one, a) for one, a in refused}
    below = tuple(point_of(one.spec, one.problem, answer) for one, answer in largest.values())
    chosen = best_machines([machine for _, machine in machines]) if machines else None
    if chosen is None:
        return Recommendation(least, None, None, below, len(hardware), len(refused), verified, proved=verified)
    one, machine = machines[chosen.machine]
    answer = families[family_key(one.problem)].optimal(machine.part, chosen.choice)
    point = point_of(one.spec, one.problem, answer, one.notes)
    cost = one.cost / PRICE_UNIT if least == "price" else float(one.cost)
    verified = verified and answer.verification.passed
    return Recommendation(least, point, cost, below, len(hardware), len(refused), verified, proved=verified)


def _hardware(specs: Sequence[Spec], maker: Maker, least: Least) -> list[_Hardware]:
    """Every distinct hardware with its cost, cheapest first; of equal cost in the order asked."""
    found: dict[tuple[str, int], _Hardware] = {}
    for spec in specs:
        problem, notes = maker.problem(spec)
        hardware, known = problem.hardware, rule_ids(problem)
        for rule in problem.search.disabled_rules if problem.serving == "joint" else ():
            if rule not in known:
                said = f"no rule {rule!r} applies to this problem; {closest(rule, known)}"
                raise ProblemError("search.disabled_rules", said)
        if least == "gpus":
            cost = hardware.gpus
        elif hardware.price_per_gpu_hour is None:
            said = f"is needed for the least price of {hardware.gpu.name}; state it, or give --prices FILE"
            raise ProblemError("hardware.price_per_gpu_hour", said)
        else:
            exact = Fraction(repr(hardware.price_per_gpu_hour)) * hardware.gpus * PRICE_UNIT
            cost = -(-exact.numerator // exact.denominator)
        same = replace(spec, gpus=hardware.gpus)
        found.setdefault((hardware.gpu.name, hardware.gpus), _Hardware(same, problem, notes, cost))
    return sorted(found.values(), key=lambda one: (one.cost, one.spec.index))


def _families(problems: Sequence[Problem]) -> dict[Hashable, ProblemFamily]:
    """Problems that share tables, by key.

    Raises:
        ProblemError: one has more candidates than are modelled.
    """
    groups: dict[Hashable, list[Problem]] = {}
    for problem in problems:
        groups.setdefault(family_key(problem), []).append(problem)
    try:
        return {key: ProblemFamily(group) for key, group in groups.items()}
    except SpaceTooLargeError as error:
        raise ProblemError("search", f"{error}; or name fewer GPUs in --gpus") from None
