"""Launch files of several models: one folder for each, and one router in front that knows them by name.

The router is a LiteLLM proxy (https://docs.litellm.ai/docs/proxy/configs): it reads the model's name in a request and passes it on to the
Service of that model. ``docs/deploy.md``, section 11.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import Any

from optimizer.deployment.chosen import Chosen, chosen_of_inventory
from optimizer.deployment.files import files_of_service
from optimizer.deployment.kubernetes import APP, PART
from optimizer.deployment.losses import may_lose
from optimizer.deployment.names import service_name
from optimizer.deployment.options import SERVICE_PORT, Options
from optimizer.deployment.service import Service, build_service
from optimizer.facts.cluster_models import ClusterModelsProblem
from optimizer.facts.errors import ProblemError
from optimizer.facts.several import ModelEntry, SeveralProblem
from optimizer.results.cluster_models import ClusterModelsAnswer
from optimizer.results.placement import GpuPlace, PlacedInstance, Placement
from optimizer.results.several import ServedShare, SeveralAnswer
from optimizer.writing.quoting import markdown, markdown_code
from optimizer.writing.yaml_text import yaml_text

PROXY_IMAGE = "ghcr.io/berriai/litellm:main-stable"
"""Tags that end in -stable are those that the project's load tests have passed; https://docs.litellm.ai/docs/proxy/deploy."""
PROXY_PORT = 4000


def chosen_of_several(problem: SeveralProblem, answer: SeveralAnswer) -> dict[str, Chosen]:
    """What is launched of each model, by its name: its strategy on the GPUs that the answer gives it.

    Raises:
        ValueError: the answer has no placement.
    """
    if answer.placement is None:
        raise ValueError("the answer places nothing")
    placed = defaultdict(list)
    for one in answer.placement:
        placed[one.model].append(one.gpus)
    return {
        served.name: _chosen(served, share, placed[served.name], answer.status)
        for served, share in zip(problem.models, answer.models, strict=True)
    }


def chosen_of_cluster_models(problem: ClusterModelsProblem, answer: ClusterModelsAnswer) -> dict[str, Chosen]:
    """The same of several models on one inventory.

    Raises:
        ValueError: the answer has no placement.
    """
    if not answer.models or any(share.answer.placement is None for share in answer.models):
        raise ValueError("the answer places nothing")
    verdict = "proved best together with the other models" if answer.status == "optimal" else "keeps every rule"
    found = {}
    for served, share in zip(problem.models, answer.models, strict=True):
        one = chosen_of_inventory(served.problem, share.answer, answer.feasible is not None)
        found[served.name] = one if one.broken else replace(one, verdict=verdict)
    return found


def _chosen(served: ModelEntry, share: ServedShare, gpus: list[tuple[str, ...]], status: str) -> Chosen:
    problem = served.on(share.nodes).decided(share.decided)
    length = {"max_sequence_tokens": share.metrics.max_sequence_tokens}
    problem = problem.model_copy(update={"requirements": problem.requirements.model_copy(update=length)})
    strategy = share.strategy
    placement = Placement(
        tuple(
            PlacedInstance(
                f"replica-{number}", 0, strategy, strategy.engine_ranks, 1 / len(gpus), tuple(map(_gpu, names))
            )
            for number, names in enumerate(gpus)
        )
    )
    broken = tuple(f"Not kept: {rule.sentence}" for rule in share.rules if rule.enabled and not rule.holds)
    return Chosen(
        served.name,
        strategy.label,
        ((problem,) * strategy.pipeline_parallel,),
        placement,
        0 if broken else may_lose(problem, placement),
        "proved best together with the other models" if status == "optimal" else "keeps every rule",
        broken,
        max(2, 1 + problem.requirements.survive.node),
    )


def _gpu(name: str) -> GpuPlace:
    node, _, index = name.rpartition("/gpu-")
    return GpuPlace(node, int(index))


def several_files(chosen: dict[str, Chosen], options: dict[str, Options], made_by: str) -> dict[str, str]:
    """Text of every file by its path: a folder for each model, the router, and how to start all.

    Args:
        chosen: what is launched of each model, by its name.
        options: of each model.
        made_by: ends the title of every file.

    Raises:
        ProblemError: not Kubernetes, two models whose names are one there, or an engine that cannot run a strategy.
    """
    names = [service_name(name) for name in chosen]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ProblemError("models", f"two names are {twice} to Kubernetes; name the models further apart")
    files: dict[str, str] = {}
    services: dict[str, Service] = {}
    for name, one in chosen.items():
        if options[name].target != "kubernetes":
            raise ProblemError(
                "--target",
                f"{options[name].target} is not written for several models: engines of two models on one node would take the same ports; "
                "use optimizer deploy FILE --target kubernetes",
            )
        title = f"{one.title(options[name].engine_name)}; {made_by}"
        services[name] = build_service(one, options[name], title)
        files |= {f"{service_name(name)}/{path}": text for path, text in files_of_service(services[name]).items()}
    namespace = next(iter(options.values())).namespace
    title = f"Router of {', '.join(chosen)} by model name; {made_by}"
    known = [_passed_on(name, service) for name, service in services.items()]
    files["router.yaml"] = yaml_text(*_proxy("models", known, namespace), title=title)
    files["README.md"] = _readme(services, namespace)
    return files


def _address_of(service: Service) -> str:
    """Where a model's requests go in its namespace: its router, or its one instance."""
    app = service_name(service.name)
    return f"{app}-router:{SERVICE_PORT}" if service.routed else f"{app}-engines:{SERVICE_PORT}"


def _passed_on(name: str, service: Service) -> dict[str, Any]:
    """What the proxy is told of a service: the model's name in requests, and where they go."""
    where = {
        "model": f"openai/{service.options.model_id}",
        "api_base": f"http://{_address_of(service)}/v1",
        "api_key": "none",
    }
    return {"model_name": name, "litellm_params": where}


def _proxy(app: str, known: list[dict[str, Any]], namespace: str) -> list[dict[str, Any]]:
    """A LiteLLM proxy in front of services, two of it."""
    labels = {APP: app, PART: "router"}
    metadata = {"name": f"{app}-router", "namespace": namespace, "labels": labels}
    health = {"path": "/health/liveliness", "port": "http"}
    container = {
        "name": "router",
        "image": PROXY_IMAGE,
        "args": ["--config", "/etc/router/config.yaml", "--port", str(PROXY_PORT)],
        "ports": [{"name": "http", "containerPort": PROXY_PORT}],
        "resources": {"requests": {"cpu": "1", "memory": "1Gi"}},
        "startupProbe": {"httpGet": health, "periodSeconds": 5, "failureThreshold": 60},
        "livenessProbe": {"httpGet": health, "periodSeconds": 10},
        "readinessProbe": {"httpGet": {"path": "/health/readiness", "port": "http"}, "periodSeconds": 5},
        "volumeMounts": [{"name": "config", "mountPath": "/etc/router", "readOnly": True}],
    }
    apart = [{"labelSelector": {"matchLabels": labels}, "topologyKey": "kubernetes.io/hostname"}]
    preferred = [{"weight": 100, "podAffinityTerm": apart[0]}]
    pod = {
        "metadata": {"labels": labels},
        "spec": {
            "affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}},
            "containers": [container],
            "volumes": [{"name": "config", "configMap": {"name": f"{app}-router"}}],
        },
    }
    deployment = {"replicas": 2, "selector": {"matchLabels": labels}, "template": pod}
    serving = {"selector": labels, "ports": [{"name": "http", "port": PROXY_PORT, "targetPort": "http"}]}
    config = yaml_text({"model_list": known})
    return [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"config.yaml": config}},
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": deployment},
        {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": serving},
        {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": metadata,
            "spec": {"minAvailable": 1, "selector": {"matchLabels": labels}},
        },
    ]


def _readme(services: dict[str, Service], namespace: str) -> str:
    asked = markdown_code(f'"model": "{next(iter(services))}"')
    # Wide instances first: what is left of the nodes takes the narrow ones, and not the other way round.
    widest = sorted(services.items(), key=lambda pair: -max(len(engine.instance.gpus) for engine in pair[1].engines))
    lines = [
        "# Several models behind one router",
        "",
        "Each folder holds the launch files of one model; its README.md says what it needs. `router.yaml` is a LiteLLM proxy that reads",
        "the model's name in a request and passes it on.",
        "",
        "| model | folder | instances | loads | address in the cluster |",
        "|---|---|---|---|---|",
        *(
            f"| {markdown(name)} | {service_name(name)} | {len(one.engines)} | {markdown(one.options.model_id)} | {_address_of(one)} |"
            for name, one in services.items()
        ),
        "",
        "Models with wide instances come first, so that those of one GPU take what is left of the nodes:",
        "",
        "```bash",
        f"kubectl create secret generic huggingface -n {namespace} --from-literal=token=YOUR_TOKEN  # gated or private models",
        *(_applied(name, one) for name, one in widest),
        "kubectl apply -f router.yaml",
        "```",
        "",
        f"Ask `http://models-router.{namespace}:{PROXY_PORT}/v1/chat/completions` with {asked}. Kubernetes puts each",
        "pod where its GPUs are free, the instances of a model spread over nodes; how many of each there are is the split of the answer.",
        "",
    ]
    return "\n".join(lines)


def _applied(name: str, service: Service) -> str:
    """The command that starts one model."""
    folder = service_name(name)
    router = f" -f {folder}/router.yaml" if service.routed else ""
    return f"kubectl apply -f {folder}/engines.yaml{router}"
