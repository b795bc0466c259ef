"""What questions about an inventory, which compare either kind of instances alone, say of joint instances beside pools."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from optimizer.explain.common.numbers import milliseconds
from optimizer.facts.inventory import InventoryProblem
from optimizer.results.cluster_side_by_side import ClusterSideBySideAnswer

if TYPE_CHECKING:
    from optimizer.questions.pools_chosen import AnyPoolsProblem
    from optimizer.results.pools_why import PoolsWhyNot
    from optimizer.search.common.clock import Clock

ALONE = "What is compared here is either kind alone"
NO_MIX = "Joint instances beside pools keep every rule no more than either kind alone (optimizer solve)."
"""Said where an inventory's every split is settled, and either kind alone too."""


def mix_on(problem: AnyPoolsProblem, clock: Clock) -> tuple[ClusterSideBySideAnswer | None, list[str]]:
    """Joint instances beside pools where they are the best of an inventory with ``serving: any``, and what is said of them."""
    if not isinstance(problem, InventoryProblem) or problem.serving != "any":
        return None, []
    from optimizer.questions.solve import solve

    answer = solve(problem, time_limit_s=clock.left_s, repairs=False)
    if isinstance(answer, ClusterSideBySideAnswer):
        best = "best of all" if answer.status == "optimal" else "better"
        return answer, [
            f"{ALONE}, and joint instances beside pools are {best}: {answer.label}, {milliseconds(answer.objective.value)} a request."
        ]
    tried = not any("are not tried" in one for one in answer.explanation)
    if answer.status == "infeasible" and tried:
        return None, [NO_MIX]
    if answer.status == "optimal" and tried:
        return None, [f"{ALONE}; joint instances beside pools are no better (optimizer solve)."]
    return None, [f"{ALONE}; whether joint instances beside pools are better is not settled."]


def nothing_on(problem: AnyPoolsProblem, clock: Clock, settled: bool) -> tuple[bool, list[str]]:
    """Where no kind alone was found: (whether nothing at all keeps every rule, what is said of both side by side).

    Args:
        settled: whether that is known without looking at the inventory's mixes.
    """
    mix, said = mix_on(problem, clock)
    if mix is None:
        return settled or said == [NO_MIX], said
    best = "is best" if mix.status == "optimal" else "does"
    value = milliseconds(mix.objective.value)
    return False, [
        f"Joint instances beside pools keep every rule, of which {mix.label} {best}: {value} a request (optimizer solve)."
    ]


def against_mix_on(problem: AnyPoolsProblem, found: PoolsWhyNot, clock: Clock) -> PoolsWhyNot:
    """A verdict on one kind, held against both side by side too."""
    mix, said = mix_on(problem, clock)
    if mix is None:
        return replace(found, sentences=(*found.sentences, *said))
    verdict, sentences = found.verdict, found.sentences
    if verdict in ("best", "tie"):
        verdict, sentences = "worse", (f"Of either kind alone {found.foil} is the best, or as good.",)
    return replace(
        found, verdict=verdict, optimum=mix.label, difference_ms=None, difference_terms={}, decided_by=None,
        sentences=(*said, *sentences),
    )  # fmt: skip
