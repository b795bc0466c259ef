"""``deploy``: the launch files of an answer, by their paths; nothing is written to disk here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from optimizer.facts.errors import ProblemError
from optimizer.reading.question import kind_of

if TYPE_CHECKING:
    from optimizer.deployment.chosen import Chosen
    from optimizer.deployment.side_by_side import BothParts
    from optimizer.facts.inventory import InventoryProblem
    from optimizer.facts.problem import Problem
    from optimizer.reading.question import AnyProblem
    from optimizer.results.cluster_pools import ClusterPoolsAnswer
    from optimizer.results.cluster_side_by_side import ClusterSideBySideAnswer
    from optimizer.results.pools import PoolsAnswer
    from optimizer.results.side_by_side import SideBySideAnswer


BESIDE = ("SideBySideAnswer", "ClusterSideBySideAnswer")
"""Answers with joint instances beside pools."""


def deploy(problem: AnyProblem, answer: Any, target: str = "shell", **options: Any) -> dict[str, str]:
    """Complete launch files for an answer: engines, router, and what must keep running.

    Args:
        problem: what the answer is for: equal nodes, an inventory, several models or a day (these two for Kubernetes alone).
        answer: of ``solve`` or ``check``, joint instances or pools.
        target: shell, ray, kubernetes, compose, systemd or slurm; of prefill and decode pools also llm-d or dynamo.
        options: as for ``deployment.options.resolve_options`` (version, assume, model_id, checkpoint_format, image, namespace).

    Returns:
        Text of every file by its path in the folder.

    Raises:
        ProblemError: the answer has nothing to launch, or the engine cannot run it on this target.
    """
    from optimizer.deployment import launch_files
    from optimizer.deployment.chosen import chosen_of, chosen_of_inventory
    from optimizer.deployment.options import resolve_options
    from optimizer.results.cluster_pools import ClusterPoolsAnswer
    from optimizer.results.inventory import InventoryAnswer
    from optimizer.results.kinds import name_of
    from optimizer.results.pools import PoolsAnswer
    from optimizer.version import __version__

    kind = kind_of(problem)
    if kind in ("models", "day"):
        from optimizer.questions.deploy_together import files_of_day, files_of_several

        write: Any = files_of_several if kind == "models" else files_of_day
        files: dict[str, str] = write(problem, answer, target, **options)
        return files
    if kind == "chain":
        raise ProblemError("kind", "chain: no engine's launch files describe it; optimizer solve prints who holds what")
    placed = cast("Problem | InventoryProblem", problem)
    if name_of(answer) in BESIDE:
        from optimizer.deployment.side_by_side import side_by_side_files

        options_of_both = resolve_options(placed.model, placed.engine, target, **options)
        beside = beside_chosen(placed, answer)
        return side_by_side_files(beside, options_of_both, f"made by optimizer {__version__}")[0]
    found = answer.placement if isinstance(answer, InventoryAnswer) else answer.strategy
    if found is None:
        raise ProblemError("deploy", "the answer has no strategy, so there is none to launch; its explanation says why")
    resolved = resolve_options(placed.model, placed.engine, target, **options)
    try:
        if isinstance(answer, PoolsAnswer | ClusterPoolsAnswer):
            chosen = chosen_pools(placed, answer)
        elif kind == "uniform":
            chosen = chosen_of(cast("Problem", problem), answer)
        else:
            chosen = chosen_of_inventory(cast("InventoryProblem", problem), answer, answer.feasible is not None)
    except ValueError as error:
        raise ProblemError("deploy", f"the strategy has no place: {error}") from None
    return launch_files(chosen, resolved, f"{chosen.title(resolved.engine_name)}; made by optimizer {__version__}")


def beside_chosen(problem: Problem | InventoryProblem, answer: SideBySideAnswer | ClusterSideBySideAnswer) -> BothParts:
    """What is to be launched of joint instances beside pools.

    Raises:
        ProblemError: groups of one machine, whose cards are numbered through.
        ValueError: a part finds no room.
    """
    from optimizer.deployment.chosen import chosen_of, chosen_of_inventory, verdict_of
    from optimizer.deployment.side_by_side import beside_of
    from optimizer.facts.cluster_side_by_side import ClusterSplit, joint_part_on, pools_part_on, units_of_groups
    from optimizer.facts.inventory import InventoryProblem
    from optimizer.facts.side_by_side import TENTHS, BesideSplit, joint_part, pools_part, unit_gpus
    from optimizer.results.place_beside import joint_place, places_on, pools_place

    tenths = round(answer.share * TENTHS)
    if isinstance(problem, InventoryProblem):
        if problem.in_hosts():
            raise ProblemError(
                "domains",
                "joint instances beside pools are not launched where groups are one machine; state serving: joint or disaggregated",
            )
        mixed = cast("ClusterSideBySideAnswer", answer)
        units = tuple(
            one.joint_gpus // unit.gpus for one, unit in zip(mixed.groups, units_of_groups(problem.groups), strict=True)
        )
        split_on = ClusterSplit(tenths, units)
        joint = chosen_of_inventory(joint_part_on(problem, split_on), mixed.joint, False)
        pools = chosen_pools(pools_part_on(problem, split_on), mixed.pools)
        places = places_on(problem, mixed.groups)
    else:
        both = cast("SideBySideAnswer", answer)
        split = BesideSplit(tenths, both.joint_gpus // unit_gpus(problem))
        joint = chosen_of(joint_part(problem, split), both.joint)
        pools = chosen_pools(pools_part(problem, split), both.pools)
        places = joint_place(problem.hardware, split), pools_place(problem.hardware, split)
    verdict = verdict_of(
        answer.status, answer.objective, bool(joint.broken or pools.broken), answer.feasible is not None
    )
    return beside_of(problem.name, answer.label, verdict, (joint, pools), tenths, places)


def chosen_pools(problem: Problem | InventoryProblem, answer: PoolsAnswer | ClusterPoolsAnswer) -> Chosen:
    """What is to be launched of an answer about pools.

    Raises:
        ValueError: the answer has no pools, or they find no room.
    """
    from optimizer.deployment.chosen import chosen_of_cluster_pools, chosen_of_pools
    from optimizer.questions.pool_losses import may_lose
    from optimizer.results.cluster_pools import ClusterPoolsAnswer

    if isinstance(answer, ClusterPoolsAnswer):
        return chosen_of_cluster_pools(cast("InventoryProblem", problem), answer)
    equal = cast("Problem", problem)
    return chosen_of_pools(equal, answer, may_lose(equal, answer))
