"""Kubernetes manifests: a Deployment for instances within a node, a LeaderWorkerSet for instances that span nodes.

LeaderWorkerSet: https://lws.sigs.k8s.io. Why a PodDisruptionBudget counts as it does: ``docs/deploy.md``, section 8.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from hashlib import sha256
from typing import Any

from optimizer.deployment.command import Command
from optimizer.deployment.limits import DRAIN_S, STOP_S
from optimizer.deployment.names import service_name
from optimizer.deployment.options import SERVICE_PORT
from optimizer.deployment.platforms import products_of
from optimizer.deployment.pods import LEAVE_S, SETTINGS, pod, weights_claim
from optimizer.deployment.pool_router import IMAGE as POOL_IMAGE
from optimizer.deployment.pool_router import READY, PoolRouting, dealt, install, part_name, router_words, routings
from optimizer.deployment.programs import program
from optimizer.deployment.router import IMAGE, ToServer, router_conf, start_router
from optimizer.deployment.service import Engine, Service
from optimizer.deployment.shell import ROUTE, ROUTED, call
from optimizer.deployment.shell import head as script_head
from optimizer.deployment.unlike import unlike, where
from optimizer.facts.errors import ProblemError
from optimizer.results.place_pools import ROLES
from optimizer.writing.quoting import kubernetes_word
from optimizer.writing.yaml_text import yaml_text

APP, PART, GROUP = "app.kubernetes.io/name", "app.kubernetes.io/component", "optimizer/group"
ROLE = "optimizer/role"
_ALIVE = {"tcpSocket": {"port": "http"}, "periodSeconds": 5, "failureThreshold": 6}


def kubernetes_files(service: Service) -> dict[str, str]:
    """File names and contents.

    Raises:
        ProblemError: pods cannot be told apart, or an instance has unequal or unlike parts.
    """
    app = service_name(service.name)
    files = {"engines.yaml": yaml_text(*engine_manifests(service), title=service.title)}
    # A router before both parts knows each joint instance: no other is needed before them.
    if service.pooled:
        routers = [one for routing in routings(service) for one in _pool_router(service, app, routing)]
        if service.uneven and not service.fronted:
            servers = pool_servers(service)
            routers += nginx_router(service, app, servers, len(servers), dealt(service))
        files["router.yaml"] = yaml_text(*routers, title=service.title)
    elif service.routed and not service.fronted:
        routers = nginx_router(service, app, servers_of(service), len(service.engines))
        files["router.yaml"] = yaml_text(*routers, title=service.title)
    return files


def engine_manifests(service: Service) -> list[dict[str, Any]]:
    """Everything but the routers.

    Raises:
        ProblemError: pods cannot be told apart, or an instance has unequal or unlike parts.
    """
    groups = groups_of(service)
    refuse_pods(service, groups)
    app = service_name(service.name)
    claim = f"{app}-weights"
    documents: list[dict[str, Any]] = [weights_claim(service, claim, labels_of(app, "weights"))]
    settings = service.settings_files()
    if settings:
        metadata = {
            "name": f"{app}-settings",
            "namespace": service.options.namespace,
            "labels": labels_of(app, "engine"),
        }
        documents.append({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": settings})
    for number, engines in enumerate(groups):
        documents += group(service, app, name_of(app, groups, number), engines, claim)
    return documents + (budgets(service, app) if service.pooled else [_budget(service, app)])


def servers_of(service: Service) -> list[tuple[str, int]]:
    """Where a router in the namespace finds the instances of each workload, and the weight of each: short names, many pods to a name."""
    app, groups = service_name(service.name), groups_of(service)
    return [
        (f"{name_of(app, groups, number)}-engines:{SERVICE_PORT}", engines[0].weight)
        for number, engines in enumerate(groups)
    ]


def pool_servers(service: Service) -> list[ToServer]:
    """The same of the routers of pools."""
    app = service_name(service.name)
    return [
        (f"{app}-{one.name}:{SERVICE_PORT}", 1, part_name(service, number), READY)
        for number, one in enumerate(routings(service))
    ]


def groups_of(service: Service) -> list[list[Engine]]:
    """Engines whose pods are alike."""
    found: dict[Any, list[Engine]] = {}
    for engine in service.engines:
        instance = engine.instance
        sizes = tuple(len(part.indices) for part in engine.launch.parts)
        key = (instance.pool, instance.strategy, instance.replicas, engine.weight, sizes)
        found.setdefault(key, []).append(engine)
    return list(found.values())


def name_of(app: str, groups: list[list[Engine]], number: int) -> str:
    """The workload of a group of engines: by its role, numbered where the pool has parts that differ."""
    role = groups[number][0].role
    if not role:
        return app if len(groups) == 1 else f"{app}-{number}"
    same = [place for place, engines in enumerate(groups) if engines[0].role == role]
    return f"{app}-{role}" if len(same) == 1 else f"{app}-{role}-{same.index(number)}"


def refuse_pods(service: Service, groups: list[list[Engine]]) -> None:
    """Stop where pods cannot be told apart, or an instance has parts that a LeaderWorkerSet does not know.

    Raises:
        ProblemError: which, and what would work.
    """
    for engines in groups:
        stages = service.problems[engines[0].instance.pool]
        if unlike(stages):
            raise ProblemError(
                "--target",
                f"{where(stages, engines[0].launch)}; Kubernetes may put the pods of a LeaderWorkerSet on these nodes in another "
                "order. Use --target shell",
            )
    gpus = {gpu.name: gpu for stages in service.problems for gpu in (problem.hardware.gpu for problem in stages)}
    products = {products_of(gpu) for gpu in gpus.values()}
    if len(gpus) > 1 and (() in products or len(products) < len(gpus)) and not service.options.hosts:
        raise ProblemError(
            "--hosts",
            f"is needed: pools on {' and '.join(gpus)} have to be kept to their nodes, and no label is known that tells them apart; "
            f"name the host of each node, e.g. --hosts {service.nodes[0]}=HOST,…",
        )
    for engines in groups:
        if len(engines[0].launch.parts) > 1 and not engines[0].launch.even:
            sizes = "+".join(str(len(part.indices)) for part in engines[0].launch.parts)
            raise ProblemError(
                "--target",
                f"{engines[0].instance.name} has {sizes} GPUs on its nodes; the pods of a LeaderWorkerSet are equal. "
                "Use --target shell, or fix a TP x PP that divides the GPUs of a node or is a multiple of them",
            )


def _words(command: Command, rank: str) -> tuple[str, ...]:
    """The command for a pod, in which only our own variables are variables."""
    quoted = replace(command, arguments=tuple(kubernetes_word(word) for word in command.arguments))
    return quoted.filled("$(LWS_LEADER_ADDRESS)", rank, SETTINGS)


def labels_of(app: str, part: str) -> dict[str, str]:
    """Labels of everything of a part of the service."""
    return {APP: app, PART: part}


def group(service: Service, app: str, name: str, engines: list[Engine], claim: str) -> list[dict[str, Any]]:
    """The workload of engines that are alike and, where no role has a name of its own, the Service before them."""
    labels = {**labels_of(app, "engine"), GROUP: name}
    first = engines[0]
    if first.role:
        labels[ROLE] = first.role
    size = len(first.launch.parts)
    head = pod(service, engines, first.commands[0], labels, _words(first.commands[0], "0"), claim)
    may_lose = (
        dict(zip(ROLES, service.may_lose_of, strict=False)).get(first.role, 0) if first.role else service.may_lose
    )
    unavailable = max(1, min(may_lose, len(engines)))
    metadata = {"name": name, "namespace": service.options.namespace, "labels": labels}
    workload: dict[str, Any]
    selector = labels
    if size == 1 and not first.role:
        workload = {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": metadata,
            "spec": {
                "replicas": len(engines),
                "selector": {"matchLabels": labels},
                "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": unavailable}},
                "template": head,
            },
        }
    else:
        # Of pools the router has to know each instance by a name of its own, which the leaders of a LeaderWorkerSet have.
        command = first.commands[min(1, size - 1)]
        words = _words(command, "$(LWS_WORKER_INDEX)")
        rollout = {"maxSurge": 0, "maxUnavailable": unavailable}
        workload = {
            "apiVersion": "leaderworkerset.x-k8s.io/v1",
            "kind": "LeaderWorkerSet",
            "metadata": metadata,
            "spec": {
                "replicas": len(engines),
                "startupPolicy": "LeaderCreated",
                "rolloutStrategy": {"type": "RollingUpdate", "rollingUpdateConfiguration": rollout},
                "leaderWorkerTemplate": {
                    "size": size,
                    "restartPolicy": "RecreateGroupOnPodRestart",
                    **({"leaderTemplate": head} if size > 1 else {}),
                    "workerTemplate": pod(service, engines, command, labels, words, claim) if size > 1 else head,
                },
            },
        }
        selector = {**labels, "leaderworkerset.sigs.k8s.io/worker-index": "0"}
    if first.role:
        # The service of a LeaderWorkerSet's own name, which it makes itself, knows every leader.
        return [workload]
    spec: dict[str, Any] = {
        "selector": selector,
        "ports": [{"name": "http", "port": SERVICE_PORT, "targetPort": "http"}],
    }
    if service.routed:
        # Headless: the router sees every instance by itself.
        spec = {"clusterIP": "None", **spec}
    serving = {"name": f"{name}-engines", "namespace": service.options.namespace, "labels": labels}
    return [workload, {"apiVersion": "v1", "kind": "Service", "metadata": serving, "spec": spec}]


def _budget(service: Service, app: str) -> dict[str, Any]:
    """Evictions that leave what ``survive`` promised: losing one pod of an instance loses the instance."""
    pods = sum(len(engine.launch.parts) for engine in service.engines)
    labels = labels_of(app, "engine")
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": f"{app}-engines", "namespace": service.options.namespace, "labels": labels},
        "spec": {"minAvailable": pods - service.may_lose, "selector": {"matchLabels": labels}},
    }


def budgets(service: Service, app: str) -> list[dict[str, Any]]:
    """A budget for each pool: what both leave at the same time is what ``survive`` promised."""
    found = []
    for role, may_lose in zip(ROLES, service.may_lose_of or (0, 0), strict=True):
        pods = sum(len(engine.launch.parts) for engine in service.of_role(role))
        labels = {**labels_of(app, "engine"), ROLE: role}
        found.append(
            {
                "apiVersion": "policy/v1",
                "kind": "PodDisruptionBudget",
                "metadata": {"name": f"{app}-{role}", "namespace": service.options.namespace, "labels": labels},
                "spec": {"minAvailable": pods - may_lose, "selector": {"matchLabels": labels}},
            }
        )
    return found


def _pool_router(service: Service, app: str, routing: PoolRouting) -> list[dict[str, Any]]:
    """The engine's own router, with every instance that it knows by the name of its leader."""

    groups = groups_of(service)

    def address(engine: Engine) -> str:
        number = next(n for n, engines in enumerate(groups) if engine in engines)
        name, place = name_of(app, groups, number), groups[number].index(engine)
        return f"{name}-{place}.{name}.{service.options.namespace}:{SERVICE_PORT}"

    script = "\n".join(
        [
            *script_head(service),
            f"{install(service)} || exit 1",
            *call(router_words(service, replace(routing, port=SERVICE_PORT), address), {}),
            "",
        ]
    )
    ready = {"httpGet": {"path": "/readiness", "port": "http"}, "periodSeconds": 5}
    container = {"name": "router", "image": POOL_IMAGE, "startupProbe": {**_ALIVE, "failureThreshold": 60}}
    return _deployed(service, app, {"start-router.sh": script}, container, ready, routing.name)


def nginx_router(
    service: Service,
    app: str,
    servers: Sequence[ToServer],
    count: int,
    shares: Sequence[tuple[str, Fraction]] = (),
) -> list[dict[str, Any]]:
    """nginx in front of engines, or of joint instances and routers of pools.

    Args:
        count: of addresses that may be up.
        shares: (part, of all requests) where requests are dealt between parts.
    """
    started = start_router(servers, drain_s=DRAIN_S, every_address=True, dealt=shares)
    files = {
        "router.conf": router_conf(SERVICE_PORT, count, parts=bool(shares)),
        "start-router.sh": "\n".join([*script_head(service, ROUTED), *started, ""]),
        ROUTE: program(ROUTE),
    }
    ready = {"httpGet": {"path": "/router/health", "port": "http"}, "periodSeconds": 5}
    return _deployed(service, app, files, {"name": "nginx", "image": IMAGE}, ready)


def _deployed(
    service: Service,
    app: str,
    files: dict[str, str],
    container: dict[str, Any],
    ready: dict[str, Any],
    name: str = "router",
) -> list[dict[str, Any]]:
    """Routers that run ``start-router.sh`` of these files, on different nodes, with a Service and a budget of their own."""
    labels = labels_of(app, name)
    metadata = {"name": f"{app}-{name}", "namespace": service.options.namespace, "labels": labels}
    # A changed list of engines starts the routers anew, one after the other.
    checksum = sha256("\0".join(files.values()).encode()).hexdigest()
    container = {
        **container,
        "command": ["bash", "/launch/start-router.sh"],
        "ports": [{"name": "http", "containerPort": SERVICE_PORT}],
        "resources": {"requests": {"cpu": "1", "memory": "512Mi"}},
        "readinessProbe": ready,
        "livenessProbe": _ALIVE,
        "lifecycle": {"preStop": {"exec": {"command": ["sleep", str(LEAVE_S)]}}},
        "volumeMounts": [{"name": "launch", "mountPath": "/launch"}],
    }
    apart = [{"labelSelector": {"matchLabels": labels}, "topologyKey": "kubernetes.io/hostname"}]
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata,
        "spec": {
            "replicas": service.router_count,
            "selector": {"matchLabels": labels},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}},
            "template": {
                "metadata": {"labels": labels, "annotations": {"optimizer/configuration": checksum}},
                "spec": {
                    "affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": apart}},
                    "containers": [container],
                    "terminationGracePeriodSeconds": LEAVE_S + STOP_S,
                    "volumes": [{"name": "launch", "configMap": {"name": f"{app}-{name}"}}],
                },
            },
        },
    }
    serving = {
        "selector": labels,
        "ports": [{"name": "http", "port": SERVICE_PORT, "targetPort": "http"}],
    }
    budget = {"minAvailable": service.router_count - 1, "selector": {"matchLabels": labels}}
    return [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": files},
        deployment,
        {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": serving},
        {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": metadata, "spec": budget},
    ]
