"""Autoscalers of a day's service: KEDA's ScaledObjects, and plain HorizontalPodAutoscalers for clusters without KEDA.

KEDA: https://keda.sh/docs/2.17/scalers/cron/, https://keda.sh/docs/2.17/scalers/prometheus/. A HorizontalPodAutoscaler leaves a workload of
no instances alone until it is scaled up (https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/). Its metric comes from
prometheus-adapter (https://github.com/kubernetes-sigs/prometheus-adapter/blob/master/docs/config.md).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from optimizer.deployment.day_parts import KINDS, DayPart, cron
from optimizer.deployment.day_schedule import TIME_ZONE, account, job, scale
from optimizer.deployment.kubernetes import APP, PART
from optimizer.facts.profile import HOUR_S, HOURS

PROMETHEUS = "http://prometheus-server.monitoring.svc:80"
FINISHED = {"vllm": "vllm:request_success_total", "sglang": "sglang:num_requests_total"}
"""Counter of requests that an engine has answered."""
IN_PROGRESS = {
    "vllm": ("vllm:num_requests_running", "vllm:num_requests_waiting"),
    "sglang": ("sglang:num_running_reqs", "sglang:num_queue_reqs"),
}
"""Gauges of requests that run and that wait: https://docs.vllm.ai/en/latest/usage/metrics.html,
https://docs.sglang.io/docs/references/production_metrics."""
METRIC = "requests_in_progress"
"""Of a pod: requests that it runs and that wait in it."""


def behaviour(part: DayPart) -> dict[str, Any]:
    """How fast an autoscaler goes."""
    return {
        "scaleUp": {"stabilizationWindowSeconds": 0},
        # A stopped instance takes its start time to come back: no faster than that is one given up.
        "scaleDown": {"stabilizationWindowSeconds": min(3600, 2 * part.start_s)},
    }


def target(part: DayPart) -> dict[str, str]:
    """The workload that an autoscaler scales."""
    group, version, _ = KINDS[part.kind]
    return {"apiVersion": f"{group}/{version}", "kind": part.kind, "name": part.name}


def scaled_objects(app: str, namespace: str, engine: str, parts: Sequence[DayPart]) -> list[dict[str, Any]]:
    """One for each part that the hours or the rate change; names are those of the workloads."""
    found = []
    for part in parts:
        triggers: list[dict[str, Any]] = []
        for start, end, instances in part.windows():
            begin = (start * HOUR_S - part.start_s) % (HOURS * HOUR_S) // 60
            metadata = {
                "timezone": TIME_ZONE,
                "start": cron(begin),
                "end": cron(end % HOURS * 60),
                "desiredReplicas": str(instances),
            }
            triggers.append({"type": "cron", "metadata": metadata})
        counter = FINISHED.get(engine)
        if counter is not None and part.rate_target:
            query = f'sum(rate({counter}{{namespace="{namespace}",pod=~"{part.name}-.*"}}[2m]))'
            metadata = {"serverAddress": PROMETHEUS, "query": query, "threshold": f"{part.rate_target:g}"}
            if not part.least:
                # Any request would keep the part running beyond its hours: only more than all of it should carry does.
                metadata["activationThreshold"] = f"{math.ceil(part.add_at_per_s * part.most)}"
            triggers.append({"type": "prometheus", "metricType": "AverageValue", "metadata": metadata})
        if not triggers:
            continue
        found.append(
            {
                "apiVersion": "keda.sh/v1alpha1",
                "kind": "ScaledObject",
                "metadata": {"name": part.name, "namespace": namespace, "labels": {APP: app, PART: "schedule"}},
                "spec": {
                    "scaleTargetRef": target(part),
                    "minReplicaCount": part.least,
                    "maxReplicaCount": part.most,
                    "cooldownPeriod": 300,
                    "advanced": {"horizontalPodAutoscalerConfig": {"behavior": behaviour(part)}},
                    "triggers": triggers,
                },
            }
        )
    return found


def autoscalers(app: str, namespace: str, engine: str, parts: Sequence[DayPart]) -> list[dict[str, Any]]:
    """A HorizontalPodAutoscaler for each part that changes, and CronJobs that set by the hour what it leaves at least.

    Empty where the engine's gauges are not known or no part changes. A part that runs nothing in some hours is scaled to none and back by
    its CronJobs.
    """
    changing = [one for one in parts if one.least < one.most and one.in_progress_target]
    if engine not in IN_PROGRESS or not changing:
        return []
    found: list[dict[str, Any]] = []
    for part in changing:
        average = {"type": "AverageValue", "averageValue": f"{part.in_progress_target}m"}
        metric = {"type": "Pods", "pods": {"metric": {"name": METRIC}, "target": average}}
        found.append(
            {
                "apiVersion": "autoscaling/v2",
                "kind": "HorizontalPodAutoscaler",
                "metadata": {"name": part.name, "namespace": namespace, "labels": {APP: app, PART: "schedule"}},
                "spec": {
                    "scaleTargetRef": target(part),
                    "minReplicas": max(1, part.least),
                    "maxReplicas": part.most,
                    "metrics": [metric],
                    "behavior": behaviour(part),
                },
            }
        )
    name = f"{app}-floors"
    found += account(app, name, namespace, changing, floors=True)
    for part in changing:
        for minute, before, instances in part.switches():
            called = f"{part.name}-floor-at-{minute // 60:02d}{minute % 60:02d}"
            found.append(job(app, called, namespace, name, minute, _floor(part, before, instances, namespace)))
    return found


def _floor(part: DayPart, before: int, instances: int, namespace: str) -> list[list[str]]:
    """What kubectl is told, in turn: the least that the autoscaler leaves, and the scale itself from and to none."""
    if not instances:
        return [scale(part, 0, namespace)]
    patch = f'{{"spec":{{"minReplicas":{instances}}}}}'
    least = [
        "patch",
        f"horizontalpodautoscalers.autoscaling/{part.name}",
        "--type=merge",
        f"--patch={patch}",
        f"--namespace={namespace}",
    ]
    return [least] if before else [least, scale(part, instances, namespace)]


def adapter_values(engine: str) -> dict[str, Any]:
    """Values of prometheus-adapter's Helm chart that make ``METRIC`` of the engine's gauges."""
    names = "|".join(IN_PROGRESS[engine])
    rule = {
        "seriesQuery": f'{{__name__="{IN_PROGRESS[engine][0]}",namespace!="",pod!=""}}',
        "resources": {"overrides": {"namespace": {"resource": "namespace"}, "pod": {"resource": "pod"}}},
        "name": {"as": METRIC},
        "metricsQuery": f'sum({{__name__=~"{names}",<<.LabelMatchers>>}}) by (<<.GroupBy>>)',
    }
    return {"prometheus": {"url": PROMETHEUS.rpartition(":")[0], "port": 80}, "rules": {"custom": [rule]}}
