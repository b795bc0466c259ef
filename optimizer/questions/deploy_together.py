"""Launch files of several models, and of a plan for a day, by their paths; nothing is written to disk here."""

from __future__ import annotations

from typing import Any, cast

from optimizer.deployment.chosen import chosen_of
from optimizer.deployment.day import day_files, most_instances, refuse
from optimizer.deployment.files import files_of_service
from optimizer.deployment.options import resolve_options
from optimizer.deployment.service import build_service
from optimizer.deployment.several import chosen_of_cluster_models, chosen_of_several, several_files
from optimizer.facts.cluster_models import ClusterModelsProblem
from optimizer.facts.errors import ProblemError
from optimizer.facts.profile import ProfileProblem
from optimizer.facts.several import SeveralProblem
from optimizer.questions.uniform import check
from optimizer.results.answer import Fixed
from optimizer.results.cluster_models import ClusterModelsAnswer
from optimizer.results.day import DayAnswer
from optimizer.results.several import SeveralAnswer
from optimizer.version import __version__

MADE_BY = f"made by optimizer {__version__}"


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


def files_of_day(day: ProfileProblem, answer: DayAnswer, target: str = "kubernetes", **options: Any) -> dict[str, str]:
    """Launch files for the largest number of instances of the day, and the schedule as CronJobs and as a ScaledObject of KEDA.

    Raises:
        ProblemError: the answer has no plan, or the target cannot express it.
    """
    if not isinstance(day, ProfileProblem):
        raise ProblemError(
            "workload.profile",
            "launch files of a day are written for equal nodes so far; start and stop what optimizer solve says, with the files of the "
            "largest rate (workload.requests_per_s)",
        )
    if not answer.hours:
        raise ProblemError("deploy", "the answer has no plan for the day; its explanation says why")
    refuse(answer, target)
    resolved = resolve_options(day.problem.model, day.problem.engine, target, **options)
    most = most_instances(answer)
    hour = max((one for one in answer.hours if one.instances == most), key=lambda one: one.requests_per_s)
    strategy = hour.strategy
    fixed = Fixed(
        **{
            name: getattr(strategy, name)
            for name in (
                "tensor_parallel", "pipeline_parallel", "data_parallel", "expert_parallel", "max_num_seqs", "layers_per_stage",
                "weight_precision", "kv_precision", "expert_slice_ranks", "decode_context_parallel",
            )
        }
    )  # fmt: skip
    problem = day.at(hour.requests_per_s)
    judged = check(problem, fixed, repairs=False, reasons=False)
    chosen = chosen_of(problem, judged)
    title = f"{day.name}: {answer.label} by the hour with {resolved.engine_name}; {MADE_BY}"
    service = build_service(chosen, resolved, title)
    return day_files(service, files_of_service(service), answer)
