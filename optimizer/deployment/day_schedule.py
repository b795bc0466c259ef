"""CronJobs that scale the parts of a day's service at the plan's times, and an account that may do no more than that."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from optimizer.deployment.day_parts import KINDS, DayPart, cron
from optimizer.deployment.kubernetes import APP, PART

KUBECTL_IMAGE = "registry.k8s.io/kubectl:v1.33.0"
"""Any image that runs kubectl does."""
TIME_ZONE = "Etc/UTC"


def account(app: str, name: str, namespace: str, parts: Sequence[DayPart], *, floors: bool) -> list[dict[str, Any]]:
    """A ServiceAccount that may scale these workloads and, for ``floors``, change what their autoscalers leave at least."""
    metadata = {"name": name, "namespace": namespace, "labels": {APP: app, PART: "schedule"}}
    rules = []
    for kind, (group, _, plural) in KINDS.items():
        names = [one.name for one in parts if one.kind == kind]
        if names:
            rules.append(_rule(group, [plural, f"{plural}/scale"], names))
    if floors:
        rules.append(_rule("autoscaling", ["horizontalpodautoscalers"], [one.name for one in parts]))
    subject = {"kind": "ServiceAccount", "name": name, "namespace": namespace}
    return [
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


def _rule(group: str, resources: list[str], names: list[str]) -> dict[str, Any]:
    return {"apiGroups": [group], "resources": resources, "resourceNames": names, "verbs": ["get", "patch", "update"]}


def cron_jobs(app: str, namespace: str, parts: Sequence[DayPart]) -> list[dict[str, Any]]:
    """What scales each part at each of its changes; empty where nothing changes."""
    changing = [one for one in parts if one.least < one.most]
    if not changing:
        return []
    name = f"{app}-schedule"
    found = account(app, name, namespace, changing, floors=False)
    for part in changing:
        for minute, _, instances in part.switches():
            called = f"{part.name}-at-{minute // 60:02d}{minute % 60:02d}"
            found.append(job(app, called, namespace, name, minute, [scale(part, instances, namespace)]))
    return found


def scale(part: DayPart, instances: int, namespace: str) -> list[str]:
    """What kubectl is told to have so many instances."""
    group, _, plural = KINDS[part.kind]
    return ["scale", f"{plural}.{group}/{part.name}", f"--replicas={instances}", f"--namespace={namespace}"]


def job(
    app: str, name: str, namespace: str, service_account: str, minute: int, steps: Sequence[list[str]]
) -> dict[str, Any]:
    """A CronJob that runs kubectl with each of these arguments, one after another."""
    labels = {APP: app, PART: "schedule"}
    *before, last = (
        {"name": f"step-{number}" if number < len(steps) - 1 else "scale", "image": KUBECTL_IMAGE, "args": arguments}
        for number, arguments in enumerate(steps)
    )
    pod = {
        "serviceAccountName": service_account,
        "restartPolicy": "OnFailure",
        **({"initContainers": before} if before else {}),
        "containers": [last],
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {
            "schedule": cron(minute),
            "timeZone": TIME_ZONE,
            "concurrencyPolicy": "Replace",
            "startingDeadlineSeconds": 600,
            "jobTemplate": {"spec": {"template": {"metadata": {"labels": labels}, "spec": pod}}},
        },
    }
