"""A plan for a day in Kubernetes: the launch files for every instance of the day, and what changes their number by the hour.

``schedule.yaml``: CronJobs that scale the instances at the plan's times. In its place ``keda.yaml`` (ScaledObjects), or ``hpa.yaml`` (plain
HorizontalPodAutoscalers): the plan's hours and the load, by computed thresholds. ``docs/deploy.md``, section 11.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import yaml

from optimizer.deployment.day_parts import STEPS_PER_S, DayPart, runs_of_hours
from optimizer.deployment.day_scalers import (
    FINISHED,
    IN_PROGRESS,
    METRIC,
    PROMETHEUS,
    adapter_values,
    autoscalers,
    scaled_objects,
)
from optimizer.deployment.day_schedule import TIME_ZONE, cron_jobs
from optimizer.deployment.kubernetes import groups_of, name_of
from optimizer.deployment.names import service_name
from optimizer.deployment.service import Service
from optimizer.facts.errors import ProblemError
from optimizer.facts.profile import HOURS
from optimizer.results.cluster_day import ClusterDayAnswer
from optimizer.results.day import DayAnswer
from optimizer.writing.yaml_text import yaml_text


def refuse(answer: DayAnswer | ClusterDayAnswer, target: str) -> None:
    """What cannot be written.

    Raises:
        ProblemError: another target, or on equal nodes several shapes in a day.
    """
    if target != "kubernetes":
        said = "starts and stops nothing by the hour; use --target kubernetes, or act on what optimizer solve says"
        raise ProblemError("--target", f"{target} {said}")
    if isinstance(answer, DayAnswer) and len(answer.shapes) != 1:
        raise ProblemError(
            "--target",
            f"kubernetes: {len(answer.shapes)} shapes run in this day, and launch files are written for one; state search.tensor_parallel",
        )


def most_instances(answer: DayAnswer) -> int:
    """Instances in the hour with the most."""
    return max(one.instances for one in answer.hours)


def add_each_at(answer: DayAnswer) -> float:
    """Requests/s for each instance at which one is added: whatever their number, the next is started in time."""
    (shape,) = answer.shapes
    below = [one.add_at_per_s / one.instances for one in shape.thresholds if one.instances < most_instances(answer)]
    if not below:
        below = [one.add_at_per_s / one.instances for one in shape.thresholds]
    return int(min(below) * STEPS_PER_S) / STEPS_PER_S


def part_of_day(service: Service, answer: DayAnswer, request_mean_ms: float | None) -> DayPart:
    """The one part of a day on equal nodes.

    Args:
        request_mean_ms: expected at ``add_each_at``.
    """
    (shape,) = answer.shapes
    strategy = shape.strategy
    label = f"TP{strategy.tensor_parallel}·PP{strategy.pipeline_parallel}{strategy.sharing}"
    counts = tuple(one.instances for one in answer.hours)
    (name,) = workloads(service)
    return DayPart(name, workloads(service)[name], label, counts, shape.start_s, add_each_at(answer), request_mean_ms)


def workloads(service: Service) -> dict[str, str]:
    """The kind of every workload by its name, in the order of ``groups_of``."""
    app, groups = service_name(service.name), groups_of(service)
    return {
        name_of(app, groups, number): "Deployment" if len(engines[0].launch.parts) == 1 else "LeaderWorkerSet"
        for number, engines in enumerate(groups)
    }


def day_files(
    service: Service,
    files: dict[str, str],
    parts: Sequence[DayPart],
    switches: Sequence[str],
    thresholds: Sequence[str],
) -> dict[str, str]:
    """The launch files with budgets that hold for any number of instances, and the schedule in each form that there is.

    Args:
        service: of every instance that runs at some hour.
        files: its launch files.
        switches: what to do when, in sentences.
        thresholds: lines of Markdown on the rates at which instances are added.
    """
    app, namespace, engine = service_name(service.name), service.options.namespace, service.options.engine
    documents = list(yaml.safe_load_all(files["engines.yaml"]))
    for one in documents:
        if one["kind"] == "PodDisruptionBudget":
            # Fewer pods run at night than stand in the file: what may be away is counted, not what has to stay.
            one["spec"].pop("minAvailable", None)
            one["spec"]["maxUnavailable"] = service.may_lose
    found = {
        "schedule.yaml": cron_jobs(app, namespace, parts),
        "keda.yaml": scaled_objects(app, namespace, engine, parts),
        "hpa.yaml": autoscalers(app, namespace, engine, parts),
    }
    if found["hpa.yaml"]:
        found["prometheus-adapter-values.yaml"] = [adapter_values(engine)]
    written = {name: yaml_text(*held, title=service.title) for name, held in found.items() if held}
    return {
        **files,
        "engines.yaml": yaml_text(*documents, title=service.title),
        **written,
        "SCHEDULE.md": _words(service, parts, tuple(written), switches, thresholds),
    }


def _words(
    service: Service,
    parts: Sequence[DayPart],
    written: Sequence[str],
    switches: Sequence[str],
    thresholds: Sequence[str],
) -> str:
    started = " and ".join(f"{part.most} instances ({part.kind} {part.name}: {part.label})" for part in parts)
    return "\n".join(
        [
            f"# The day of {service.name}",
            "",
            f"`engines.yaml` starts {started}. Times are {TIME_ZONE}. Use one of these:",
            "",
            *_choices(service.options.engine, parts, written),
            "",
            *(f"- {sentence}" for sentence in switches),
            "",
            f"| hours | {' | '.join(f'{part.name}, instances' for part in parts)} |",
            "|---" * (1 + len(parts)) + "|",
            *(
                f"| {first:02d}:00 to {end % HOURS:02d}:00 | {' | '.join(str(part.counts[first]) for part in parts)} |"
                for first, end in runs_of_hours(parts)
            ),
            "",
            *thresholds,
            "",
        ]
    )


def _choices(engine: str, parts: Sequence[DayPart], written: Sequence[str]) -> list[str]:
    if not written:
        return ["- none: nothing changes over the day."]
    said = []
    if "schedule.yaml" in written:
        said.append("- `kubectl apply -f schedule.yaml`: CronJobs scale the instances at the times below.")
    if "keda.yaml" in written:
        said.append(
            f"- `kubectl apply -f keda.yaml` (KEDA): the same hours as cron triggers, {_by_rate(engine, parts)}"
        )
    if "hpa.yaml" in written:
        many = _each(parts, lambda part: f"{part.add_at_per_s * (part.request_mean_ms or 0) / 1000:,.1f}")
        said.append(
            "- `kubectl apply -f hpa.yaml` (without KEDA): HorizontalPodAutoscalers on the requests in progress at an instance, running "
            f"and waiting; a further one is started at {many}. CronJobs set by the hour what they leave at least. They need "
            f"prometheus-adapter with `prometheus-adapter-values.yaml`, which makes {METRIC} of {' and '.join(IN_PROGRESS[engine])}; its "
            "`prometheus.url` is yours to set."
        )
    elif engine not in IN_PROGRESS:
        said.append("- There is no hpa.yaml: no gauge of requests in progress is known of this engine.")
    return said


def _by_rate(engine: str, parts: Sequence[DayPart]) -> str:
    counter = FINISHED.get(engine)
    if counter is None:
        return "and not by the rate: no counter of finished requests is known of this engine."
    known = [part for part in parts if part.rate_target]
    if not known:
        return "and not by the rate: the load grows faster from hour to hour than an instance starts."
    return (
        f"and by the rate: a further instance is started at {_each(known, lambda part: f'{part.add_at_per_s:g}')} requests/s of one "
        f"({counter}), so that it serves before those there are break a rule. Autoscalers let a metric pass its target by 10 % "
        f"before they act: the targets are so much lower. Set `serverAddress` to your Prometheus ({PROMETHEUS} stands there)."
    )


def _each(parts: Sequence[DayPart], said: Callable[[DayPart], str]) -> str:
    """What is said of each part, with its name where there are several."""
    if len(parts) == 1:
        return said(parts[0])
    return " and ".join(f"{said(part)} ({part.name})" for part in parts)


def thresholds_of_day(answer: DayAnswer) -> list[str]:
    """Up to which rate so many instances keep every rule, on equal nodes."""
    return [
        "| instances | every rule holds to, requests/s | start the next at, requests/s |",
        "|---|---|---|",
        *(
            f"| {one.instances} | {one.requests_per_s:g} | {one.add_at_per_s:g} |"
            for one in answer.shapes[0].thresholds
        ),
    ]
