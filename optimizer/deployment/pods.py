"""Pods of engines: containers, probes, volumes, and where they may be scheduled."""

from __future__ import annotations

from typing import Any

from optimizer.deployment.command import Command
from optimizer.deployment.options import SERVICE_PORT
from optimizer.deployment.service import Engine, Service
from optimizer.writing.quoting import kubernetes_word

HOSTNAME, ZONE = "kubernetes.io/hostname", "topology.kubernetes.io/zone"
GPU_NODES = {"nvidia.com/gpu.present": "true"}
"""Label that the GPU operator's feature discovery puts on nodes with GPUs."""
START_UP = {"periodSeconds": 10, "failureThreshold": 360}
SHARED_MEMORY = "15Gi"


def pod(
    service: Service, engines: list[Engine], command: Command, labels: dict[str, str], words: tuple[str, ...]
) -> dict[str, Any]:
    """A pod template for one part of each of these engines, which are alike.

    Args:
        labels: of the group that the pods belong to.
        words: the command's arguments with its marks replaced.
    """
    gpus = str(len(command.gpus))
    container: dict[str, Any] = {
        "name": "engine",
        "image": service.options.image,
        "command": list(words),
        "env": [
            *({"name": name, "value": kubernetes_word(value)} for name, value in command.environment.items()),
            {
                "name": "HF_TOKEN",
                "valueFrom": {"secretKeyRef": {"name": "huggingface", "key": "token", "optional": True}},
            },
        ],
        "resources": {"limits": {"nvidia.com/gpu": gpus}, "requests": {"nvidia.com/gpu": gpus}},
        "volumeMounts": [
            {"name": "shared-memory", "mountPath": "/dev/shm"},
            {"name": "huggingface", "mountPath": "/root/.cache/huggingface"},
        ],
    }
    order = sorted(command.gpus)
    if list(command.gpus) != order:
        mapped = ",".join(str(order.index(gpu)) for gpu in command.gpus)
        container["env"].insert(0, {"name": "CUDA_VISIBLE_DEVICES", "value": mapped})
    if command.serves:
        ask = {"httpGet": {"path": "/health", "port": "http"}}
        container["ports"] = [{"name": "http", "containerPort": SERVICE_PORT}]
        container["startupProbe"] = {**ask, **START_UP, "timeoutSeconds": 5}
        container["readinessProbe"] = {**ask, "periodSeconds": 5, "failureThreshold": 2, "timeoutSeconds": 5}
        container["livenessProbe"] = {**ask, "periodSeconds": 10, "failureThreshold": 6, "timeoutSeconds": 5}
    return {
        "metadata": {"labels": labels},
        "spec": {
            "containers": [container],
            "volumes": [
                {"name": "shared-memory", "emptyDir": {"medium": "Memory", "sizeLimit": SHARED_MEMORY}},
                {"name": "huggingface", "emptyDir": {}},
            ],
            "terminationGracePeriodSeconds": 120,
            **_where(service, engines, labels),
        },
    }


def _where(service: Service, engines: list[Engine], labels: dict[str, str]) -> dict[str, Any]:
    nodes = list(dict.fromkeys(part.node for engine in engines for part in engine.launch.parts))
    affinity: dict[str, Any] = {}
    found: dict[str, Any] = {"affinity": affinity}
    if service.options.hosts:
        names = [service.host(node) for node in nodes]
        term = {"matchExpressions": [{"key": HOSTNAME, "operator": "In", "values": names}]}
        affinity["nodeAffinity"] = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
    else:
        found["nodeSelector"] = GPU_NODES
    selector = {"labelSelector": {"matchLabels": labels}}
    counts = [sum(node in engine.instance.nodes for engine in engines) for node in nodes]
    if max(counts) == 1:
        affinity["podAntiAffinity"] = {
            "requiredDuringSchedulingIgnoredDuringExecution": [{**selector, "topologyKey": HOSTNAME}]
        }
    spread = {"maxSkew": 1, "topologyKey": ZONE, "whenUnsatisfiable": "ScheduleAnyway", **selector}
    found["topologySpreadConstraints"] = [spread]
    if max(counts) > 1:
        skew = max(1, max(counts) - min(counts))
        even = {"maxSkew": skew, "topologyKey": HOSTNAME, "whenUnsatisfiable": "DoNotSchedule", **selector}
        found["topologySpreadConstraints"].insert(0, {**even, "nodeTaintsPolicy": "Honor"})
    if not affinity:
        del found["affinity"]
    return found
