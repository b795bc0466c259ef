"""Pools against joint instances, for whatever the two came from: an answer, or what a quick search chose."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from optimizer.explain.pools.against import JointFigures, inventory_figures, joint_figures, pools_against_joint

if TYPE_CHECKING:
    from optimizer.questions.pools_chosen import AnyPoolsProblem, BestOf


def between(problem: AnyPoolsProblem, one: BestOf, other: BestOf) -> list[str]:
    """Sentences on pools and joint instances, one of which each argument is."""
    pools, joint = (one, other) if one.instances == "pools" else (other, one)
    return pools_against_joint(problem.workload.output_tokens, pools.answer, figures_of_joint(joint.answer))


def between_answers(problem: AnyPoolsProblem, pools: Any, joint: Any) -> list[str]:
    """The same of two answers."""
    return pools_against_joint(problem.workload.output_tokens, pools, figures_of_joint(joint))


def figures_of_joint(joint: Any) -> JointFigures:
    """Of an answer about joint instances, or of what a search chose."""
    if hasattr(joint, "pools"):
        return inventory_figures(joint)
    if hasattr(joint, "metrics"):
        return joint_figures(joint.metrics)
    from optimizer.search.uniform.evaluate import metrics_of

    return joint_figures(metrics_of(joint.quantities, joint.choice))
