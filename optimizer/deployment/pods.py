"""Pods of engines: containers, probes, volumes, and where they may be scheduled."""

from __future__ import annotations

import json
from hashlib import sha256
from math import ceil
from pathlib import PurePosixPath
from typing import Any

from optimizer.deployment.command import NODE, Command
from optimizer.deployment.limits import DRAIN_S, start_limit_s
from optimizer.deployment.names import service_name
from optimizer.deployment.platforms import CACHE, products_of
from optimizer.deployment.service import Engine, Service
from optimizer.facts.hardware import GIB
from optimizer.writing.quoting import kubernetes_word

HOSTNAME, ZONE = "kubernetes.io/hostname", "topology.kubernetes.io/zone"
PROBED_S = 10
LEAVE_S = 15
"""Between a pod's leaving the list of those that serve and its SIGTERM: routers look every few seconds."""
SHARED_MEMORY_GIB = 15
POD_ADDRESS = "OPTIMIZER_POD_IP"
SETTINGS = "/launch"
"""Where a pod sees the file of settings that its command reads."""


def pod(
    service: Service,
    engines: list[Engine],
    command: Command,
    labels: dict[str, str],
    words: tuple[str, ...],
    claim: str,
) -> dict[str, Any]:
    """A pod template for one part of each of these engines, which are alike.

    Args:
        labels: of the group that the pods belong to.
        words: the command's arguments with its marks replaced.
        claim: name of the volume claim that keeps the weights.
    """
    platform, gpus = service.platform(engines[0]), len(command.gpus)
    requests = {
        platform.resource: str(gpus),
        # An API server and a scheduler, and a process for each GPU, which all poll.
        "cpu": str(2 + 2 * gpus),
        "memory": f"{SHARED_MEMORY_GIB + 8 + 4 * gpus}Gi",
    }
    address = {"name": POD_ADDRESS, "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}
    own = [address] if any(NODE in value for value in command.environment.values()) else []
    container: dict[str, Any] = {
        "name": "engine",
        "image": service.image(engines[0]),
        "command": list(words),
        "env": [
            *own,
            *({"name": name, "value": _value(value)} for name, value in command.environment.items()),
            {
                "name": "HF_TOKEN",
                "valueFrom": {"secretKeyRef": {"name": "huggingface", "key": "token", "optional": True}},
            },
        ],
        "resources": {"limits": {platform.resource: str(gpus)}, "requests": requests},
        "volumeMounts": [
            {"name": "shared-memory", "mountPath": "/dev/shm"},
            {"name": "weights", "mountPath": weights_path(service)},
        ],
    }
    volumes: list[dict[str, Any]] = [
        {"name": "shared-memory", "emptyDir": {"medium": "Memory", "sizeLimit": f"{SHARED_MEMORY_GIB}Gi"}},
        {"name": "weights", "persistentVolumeClaim": {"claimName": claim}},
    ]
    annotations: dict[str, Any] = {}
    if command.settings_file:
        container["volumeMounts"].append({"name": "settings", "mountPath": SETTINGS, "readOnly": True})
        volumes.append({"name": "settings", "configMap": {"name": f"{service_name(service.name)}-settings"}})
        # Other settings start the engines anew.
        checksum = sha256(json.dumps(dict(command.settings), sort_keys=True).encode()).hexdigest()
        annotations = {"annotations": {"optimizer/settings": checksum}}
    order = sorted(command.gpus)
    if list(command.gpus) != order:
        mapped = ",".join(str(order.index(gpu)) for gpu in command.gpus)
        container["env"].insert(0, {"name": platform.visible, "value": mapped})
    if command.serves:
        ask = {"httpGet": {"path": "/health", "port": "http"}, "timeoutSeconds": 5}
        limit = start_limit_s(service.weight_bytes(engines[0]))
        container["ports"] = [{"name": "http", "containerPort": command.port}]
        container["startupProbe"] = {**ask, "periodSeconds": PROBED_S, "failureThreshold": ceil(limit / PROBED_S)}
        container["readinessProbe"] = {**ask, "periodSeconds": 5, "failureThreshold": 2}
        container["livenessProbe"] = {**ask, "periodSeconds": PROBED_S, "failureThreshold": 6}
        container["lifecycle"] = {"preStop": {"exec": {"command": ["sleep", str(LEAVE_S)]}}}
    return {
        "metadata": {"labels": labels, **annotations},
        "spec": {
            "containers": [container],
            "volumes": volumes,
            "terminationGracePeriodSeconds": LEAVE_S + DRAIN_S + 15,
            "tolerations": [{"key": platform.resource, "operator": "Exists", "effect": "NoSchedule"}],
            **placed_where(service, engines, labels),
        },
    }


def _value(text: str) -> str:
    """A value of the environment, in which only the pod's own address is a variable."""
    return kubernetes_word(text).replace(NODE, f"$({POD_ADDRESS})")


def weights_path(service: Service) -> str:
    """Where the volume of the weights is mounted: the hub's cache, or the folder that a path is in."""
    path = PurePosixPath(service.options.model_id)
    return str(path.parent) if path.is_absolute() and path.parent.name else CACHE


def weights_claim(service: Service, name: str, labels: dict[str, str]) -> dict[str, Any]:
    """A volume for the weights, shared where several pods load them: a download belongs on disk once."""
    stored = max(problem.model.weight_bytes for stages in service.problems for problem in stages)
    pods = sum(len(engine.launch.parts) for engine in service.engines)
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "namespace": service.options.namespace, "labels": labels},
        "spec": {
            "accessModes": ["ReadWriteMany" if pods > 1 else "ReadWriteOnce"],
            "resources": {"requests": {"storage": f"{ceil(stored * 1.25 / GIB) + 10}Gi"}},
        },
    }


def placed_where(service: Service, engines: list[Engine], labels: dict[str, str]) -> dict[str, Any]:
    """Where the pods of engines that are alike may be scheduled: their GPU, and spread as the placement spreads them."""
    nodes = list(dict.fromkeys(part.node for engine in engines for part in engine.launch.parts))
    platform, products = service.platform(engines[0]), products_of(service.gpu(engines[0]))
    asked = [
        {"key": platform.product, "operator": "In", "values": list(products)}
        if products
        else {"key": platform.present, "operator": "In", "values": ["true"]}
    ]
    if service.options.hosts:
        names = [service.host(node) for node in nodes]
        asked.append({"key": HOSTNAME, "operator": "In", "values": names})
    required = {"nodeSelectorTerms": [{"matchExpressions": asked}]}
    affinity: dict[str, Any] = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}
    selector = {"labelSelector": {"matchLabels": labels}}
    counts = [sum(node in engine.instance.nodes for engine in engines) for node in nodes]
    if max(counts) == 1:
        affinity["podAntiAffinity"] = {
            "requiredDuringSchedulingIgnoredDuringExecution": [{**selector, "topologyKey": HOSTNAME}]
        }
    spread = [{"maxSkew": 1, "topologyKey": ZONE, "whenUnsatisfiable": "ScheduleAnyway", **selector}]
    if max(counts) > 1:
        skew = max(1, max(counts) - min(counts))
        even = {"maxSkew": skew, "topologyKey": HOSTNAME, "whenUnsatisfiable": "DoNotSchedule", **selector}
        spread.insert(0, {**even, "nodeTaintsPolicy": "Honor"})
    return {"affinity": affinity, "topologySpreadConstraints": spread}
