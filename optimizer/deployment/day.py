"""A plan for a day in Kubernetes: the launch files for the largest number of instances, and what changes it by the hour.

``schedule.yaml``: CronJobs that scale the instances at the plan's times. ``keda.yaml``, in its place: a ScaledObject with the plan as cron
triggers and the rate of requests as a further one, by the computed rate for each instance (https://keda.sh/docs/2.17/scalers/cron/,
https://keda.sh/docs/2.17/scalers/prometheus/). ``docs/deploy.md``, section 11.
"""

from __future__ import annotations

import math
from typing import Any

import yaml

from optimizer.deployment.kubernetes import APP, PART
from optimizer.deployment.names import service_name
from optimizer.deployment.service import Service
from optimizer.facts.errors import ProblemError
from optimizer.facts.profile import HOUR_S, HOURS
from optimizer.results.day import DayAnswer
from optimizer.writing.yaml_text import yaml_text

KUBECTL_IMAGE = "registry.k8s.io/kubectl:v1.33.0"
"""Any image that runs kubectl does."""
TIME_ZONE = "Etc/UTC"
PROMETHEUS = "http://prometheus-server.monitoring.svc:80"
FINISHED = {"vllm": "vllm:request_success_total", "sglang": "sglang:num_requests_total"}
"""Counter of requests that an engine has answered."""
STEPS_PER_S = 1000
"""Steps of a request/s."""


def refuse(answer: DayAnswer, target: str) -> None:
    """What cannot be written.

    Raises:
        ProblemError: another target, or several shapes in a day.
    """
    if target != "kubernetes":
        said = "starts and stops nothing by the hour; use --target kubernetes, or act on what optimizer solve says"
        raise ProblemError("--target", f"{target} {said}")
    if len(answer.shapes) != 1:
        raise ProblemError(
            "--target",
            f"kubernetes: {len(answer.shapes)} shapes run in this day, and launch files are written for one; state search.tensor_parallel",
        )


def most_instances(answer: DayAnswer) -> int:
    """Instances in the hour with the most."""
    return max(one.instances for one in answer.hours)


def per_instance(answer: DayAnswer) -> float:
    """Requests/s for each instance at which one is added: whatever their number, the next is started in time. Rounded down."""
    (shape,) = answer.shapes
    below = [one.add_at_per_s / one.instances for one in shape.thresholds if one.instances < most_instances(answer)]
    if not below:
        below = [one.add_at_per_s / one.instances for one in shape.thresholds]
    least: float = min(below)
    return math.floor(least * STEPS_PER_S) / STEPS_PER_S


def day_files(service: Service, files: dict[str, str], answer: DayAnswer) -> dict[str, str]:
    """The launch files with budgets that hold for any number of instances, and the schedule in both forms.

    Args:
        service: of the largest number of instances.
        files: its launch files.
    """
    app = service_name(service.name)
    documents = list(yaml.safe_load_all(files["engines.yaml"]))
    kind = next(one["kind"] for one in documents if one["kind"] in ("Deployment", "LeaderWorkerSet"))
    for one in documents:
        if one["kind"] == "PodDisruptionBudget":
            # Fewer pods run at night than stand in the file: what may be away is counted, not what has to stay.
            one["spec"].pop("minAvailable", None)
            one["spec"]["maxUnavailable"] = service.may_lose
    return {
        **files,
        "engines.yaml": yaml_text(*documents, title=service.title),
        "schedule.yaml": yaml_text(*_cron_jobs(service, app, kind, answer), title=service.title),
        "keda.yaml": yaml_text(_scaled(service, app, kind, answer), title=service.title),
        "SCHEDULE.md": _words(service, app, kind, answer),
    }


def _switch_times(answer: DayAnswer) -> list[tuple[int, int]]:
    """(minute of the day, instances from then on) of every change, starts so long before their hour as they take."""
    (shape,) = answer.shapes
    found = []
    for one in answer.hours:
        before = answer.hours[one.hour - 1]
        if one.instances == before.instances:
            continue
        second = one.hour * HOUR_S - (shape.start_s if one.started else 0)
        found.append((second % (HOURS * HOUR_S) // 60, one.instances))
    return found


def _cron(minute: int) -> str:
    return f"{minute % 60} {minute // 60} * * *"


def _cron_jobs(service: Service, app: str, kind: str, answer: DayAnswer) -> list[dict[str, Any]]:
    namespace = service.options.namespace
    labels = {APP: app, PART: "schedule"}
    name = f"{app}-schedule"
    metadata = {"name": name, "namespace": namespace, "labels": labels}
    group, plural = (
        ("apps", "deployments") if kind == "Deployment" else ("leaderworkerset.x-k8s.io", "leaderworkersets")
    )
    rules = [
        {
            "apiGroups": [group],
            "resources": [plural, f"{plural}/scale"],
            "resourceNames": [app],
            "verbs": ["get", "patch", "update"],
        }
    ]
    subject = {"kind": "ServiceAccount", "name": name, "namespace": namespace}
    found: list[dict[str, Any]] = [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata},
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": metadata, "rules": rules},
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": metadata,
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
            "subjects": [subject],
        },
    ]
    for minute, instances in _switch_times(answer):
        container = {
            "name": "scale",
            "image": KUBECTL_IMAGE,
            "args": ["scale", f"{plural}.{group}/{app}", f"--replicas={instances}", f"--namespace={namespace}"],
        }
        pod = {"serviceAccountName": name, "restartPolicy": "OnFailure", "containers": [container]}
        found.append(
            {
                "apiVersion": "batch/v1",
                "kind": "CronJob",
                "metadata": {**metadata, "name": f"{app}-at-{minute // 60:02d}{minute % 60:02d}"},
                "spec": {
                    "schedule": _cron(minute),
                    "timeZone": TIME_ZONE,
                    "concurrencyPolicy": "Replace",
                    "startingDeadlineSeconds": 600,
                    "jobTemplate": {"spec": {"template": {"metadata": {"labels": labels}, "spec": pod}}},
                },
            }
        )
    return found


def _scaled(service: Service, app: str, kind: str, answer: DayAnswer) -> dict[str, Any]:
    counts = [one.instances for one in answer.hours]
    least, most = min(counts), max(counts)
    (shape,) = answer.shapes
    triggers: list[dict[str, Any]] = []
    for start, end, instances in _windows(counts, least):
        begin = (start * HOUR_S - shape.start_s) % (HOURS * HOUR_S) // 60
        metadata = {
            "timezone": TIME_ZONE,
            "start": _cron(begin),
            "end": _cron(end % HOURS * 60),
            "desiredReplicas": str(instances),
        }
        triggers.append({"type": "cron", "metadata": metadata})
    counter = FINISHED.get(service.options.engine)
    if counter is not None:
        query = f'sum(rate({counter}{{namespace="{service.options.namespace}",pod=~"{app}-.*"}}[2m]))'
        metadata = {"serverAddress": PROMETHEUS, "query": query, "threshold": f"{per_instance(answer):g}"}
        triggers.append({"type": "prometheus", "metricType": "AverageValue", "metadata": metadata})
    api = "apps/v1" if kind == "Deployment" else "leaderworkerset.x-k8s.io/v1"
    behaviour = {
        "scaleUp": {"stabilizationWindowSeconds": 0},
        # A stopped instance takes its start time to come back: no faster than that is one given up.
        "scaleDown": {"stabilizationWindowSeconds": min(3600, 2 * shape.start_s)},
    }
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": {"name": app, "namespace": service.options.namespace, "labels": {APP: app, PART: "schedule"}},
        "spec": {
            "scaleTargetRef": {"apiVersion": api, "kind": kind, "name": app},
            "minReplicaCount": least,
            "maxReplicaCount": most,
            "cooldownPeriod": 300,
            "advanced": {"horizontalPodAutoscalerConfig": {"behavior": behaviour}},
            "triggers": triggers,
        },
    }


def _windows(counts: list[int], least: int) -> list[tuple[int, int, int]]:
    """(first hour, hour after the last, instances) of runs of hours above the least; over midnight the end is past 24."""
    first = next(hour for hour in range(HOURS) if counts[hour] != counts[hour - 1]) if len(set(counts)) > 1 else 0
    found: list[tuple[int, int, int]] = []
    for step in range(HOURS):
        hour = first + step
        instances = counts[hour % HOURS]
        if found and found[-1][1] == hour and found[-1][2] == instances:
            found[-1] = (found[-1][0], hour + 1, instances)
        else:
            found.append((hour, hour + 1, instances))
    return [one for one in found if one[2] > least]


def _words(service: Service, app: str, kind: str, answer: DayAnswer) -> str:
    most, each = most_instances(answer), per_instance(answer)
    counter = FINISHED.get(service.options.engine)
    by_rate = "and not by the rate: no counter of finished requests is known of this engine."
    if counter:
        by_rate = (
            f"and by the rate: one instance for every {each:g} requests/s ({counter}), so that the next is started before those there are "
            f"break a rule. Set `serverAddress` to your Prometheus ({PROMETHEUS} stands there)."
        )
    lines = [
        f"# The day of {service.name}",
        "",
        f"`engines.yaml` starts {most} instances ({kind} {app}). Times are {TIME_ZONE}. Use one of the two:",
        "",
        "- `kubectl apply -f schedule.yaml`: CronJobs scale the instances at the times below.",
        f"- `kubectl apply -f keda.yaml` (KEDA): the same hours as cron triggers, {by_rate}",
        "",
        *(f"- {sentence}" for sentence in answer.switches),
        "",
        "| instances | every rule holds to, requests/s | start the next at, requests/s |",
        "|---|---|---|",
        *(
            f"| {one.instances} | {one.requests_per_s:g} | {one.add_at_per_s:g} |"
            for one in answer.shapes[0].thresholds
        ),
        "",
    ]
    return "\n".join(lines)
