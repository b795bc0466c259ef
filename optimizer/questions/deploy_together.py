"""Launch files of several models, and of a plan for a day, by their paths; nothing is written to disk here."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

from optimizer.deployment import cluster_day
from optimizer.deployment.chosen import chosen_of
from optimizer.deployment.day import (
    add_each_at,
    day_files,
    most_instances,
    part_of_day,
    refuse,
    thresholds_of_day,
)
from optimizer.deployment.files import files_of_service
from optimizer.deployment.options import Options, resolve_options, with_hosts
from optimizer.deployment.service import build_service
from optimizer.deployment.several import chosen_of_cluster_models, chosen_of_several, several_files
from optimizer.facts.cluster_day import ClusterDayProblem
from optimizer.facts.cluster_models import ClusterModelsProblem
from optimizer.facts.errors import ProblemError
from optimizer.facts.problem import Problem
from optimizer.facts.profile import ProfileProblem
from optimizer.facts.several import SeveralProblem
from optimizer.questions.uniform import check
from optimizer.results.answer import Fixed, Strategy
from optimizer.results.cluster_day import ClusterDayAnswer
from optimizer.results.cluster_models import ClusterModelsAnswer
from optimizer.results.day import DayAnswer
from optimizer.results.several import SeveralAnswer
from optimizer.search.profile.thresholds import growth_per_s2
from optimizer.version import __version__

MADE_BY = f"made by optimizer {__version__}"
MIN_RATE = 0.001
"""Requests/s at which a request is timed where no rate is left."""


def files_of_several(
    problem: SeveralProblem | ClusterModelsProblem,
    answer: SeveralAnswer | ClusterModelsAnswer,
    target: str = "kubernetes",
    **options: Any,
) -> dict[str, str]:
    """One folder of launch files for each model, and a router in front by model name.

    Args:
        problem: several models on equal nodes, or on an inventory.
        answer: of ``solve`` or ``check``.
        options: as for ``deployment.options.resolve_options``.

    Raises:
        ProblemError: the answer places nothing, or the target cannot express it.
    """
    try:
        if isinstance(problem, ClusterModelsProblem):
            chosen = chosen_of_cluster_models(problem, cast(ClusterModelsAnswer, answer))
        else:
            chosen = chosen_of_several(problem, cast(SeveralAnswer, answer))
    except ValueError as error:
        raise ProblemError("deploy", f"{error}; its explanation says why") from None
    resolved = {}
    models: tuple[Any, ...] = problem.models
    for number, served in enumerate(models):
        try:
            resolved[served.name] = resolve_options(served.problem.model, served.problem.engine, target, **options)
        except ProblemError as error:
            if error.field != "--model-id":
                raise
            said = "comes from a config file, which does not say what the engine is to load; state huggingface_id beside it"
            raise ProblemError(f"models.{number}.model", said) from None
    return several_files(chosen, resolved, MADE_BY)


def files_of_day(
    day: ProfileProblem | ClusterDayProblem,
    answer: DayAnswer | ClusterDayAnswer,
    target: str = "kubernetes",
    hosts: str | None = None,
    **options: Any,
) -> dict[str, str]:
    """Launch files for every instance of the day, and the schedule as CronJobs, as ScaledObjects of KEDA and as HorizontalPodAutoscalers.

    Args:
        hosts: as for ``deployment.options.with_hosts``.

    Raises:
        ProblemError: the answer has no plan, or the target cannot express it.
    """
    if not answer.hours:
        raise ProblemError("deploy", "the answer has no plan for the day; its explanation says why")
    refuse(answer, target)
    resolved = replace(resolve_options(day.problem.model, day.problem.engine, target, **options), metrics=True)
    write: Any = _on_inventory if isinstance(day, ClusterDayProblem) else _on_equal_nodes
    files: dict[str, str] = write(day, answer, resolved, hosts)
    return files


def _on_equal_nodes(day: ProfileProblem, answer: DayAnswer, options: Options, hosts: str | None) -> dict[str, str]:
    most = most_instances(answer)
    hour = max((one for one in answer.hours if one.instances == most), key=lambda one: one.requests_per_s)
    fixed = _fixed(hour.strategy)
    judged = check(day.at(hour.requests_per_s), fixed, repairs=False, reasons=False)
    chosen = chosen_of(day.at(hour.requests_per_s), judged)
    options = with_hosts(options, hosts, chosen.placement.nodes)
    service = build_service(
        chosen, options, f"{day.name}: {answer.label} by the hour with {options.engine_name}; {MADE_BY}"
    )
    part = part_of_day(service, answer, _mean_ms(day.at(max(MIN_RATE, add_each_at(answer) * most)), hour.strategy))
    return day_files(service, files_of_service(service), [part], answer.switches, thresholds_of_day(answer))


def _on_inventory(
    day: ClusterDayProblem, answer: ClusterDayAnswer, options: Options, hosts: str | None
) -> dict[str, str]:
    pools = cluster_day.pools_of_day(answer)
    chosen = cluster_day.chosen_of_cluster_day(day, answer, pools)
    options = with_hosts(options, hosts, chosen.placement.nodes)
    service = build_service(
        chosen, options, f"{day.name}: {answer.label} by the hour with {options.engine_name}; {MADE_BY}"
    )
    growth = float(growth_per_s2(day.rates))
    add_at = {number: cluster_day.add_each_at(pool, pools, answer, growth) for number, pool in enumerate(pools)}
    means = {
        number: _mean_ms(
            cluster_day.alone(day, pool, max(MIN_RATE, add_at[number])),
            replace(pool.strategy, data_parallel=pool.placed[0].replicas),
        )
        for number, pool in enumerate(pools)
    }
    parts = cluster_day.parts_of_day(service, answer, pools, add_at, means)
    said = cluster_day.thresholds_of_cluster_day(service, answer, pools)
    return day_files(service, files_of_service(service), parts, answer.switches, said)


def _mean_ms(problem: Problem, strategy: Strategy) -> float | None:
    """Expected time of a request of this strategy, ms."""
    judged = check(problem, _fixed(strategy), repairs=False, reasons=False)
    return None if judged.metrics is None else judged.metrics.request_mean_ms


def _fixed(strategy: Strategy) -> Fixed:
    names = (
        "tensor_parallel", "pipeline_parallel", "data_parallel", "expert_parallel", "max_num_seqs", "layers_per_stage",
        "weight_precision", "kv_precision", "expert_slice_ranks", "decode_context_parallel",
    )  # fmt: skip
    return Fixed(**{name: getattr(strategy, name) for name in names})
