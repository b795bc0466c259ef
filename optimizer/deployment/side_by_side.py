"""Launch files of joint instances beside prefill and decode pools: a folder for each part, and one router in front of both.

The router is a LiteLLM proxy that knows both under the model's name and picks one at random by its weight, the tenths of the requests
(https://docs.litellm.ai/docs/routing; ``router_strategy/simple_shuffle.py``). ``docs/deploy.md``, section 10.
"""

from __future__ import annotations

from dataclasses import replace

from optimizer.deployment.chosen import Chosen
from optimizer.deployment.files import files_of_service
from optimizer.deployment.names import service_name
from optimizer.deployment.options import Options
from optimizer.deployment.service import Service, build_service
from optimizer.deployment.several import PROXY_PORT, address_of, passed_on, proxy
from optimizer.facts.errors import ProblemError
from optimizer.facts.side_by_side import TENTHS
from optimizer.writing.yaml_text import yaml_text

PARTS = ("joint", "pools")


def side_by_side_files(
    name: str, chosen: tuple[Chosen, Chosen], tenths: int, options: Options, made_by: str
) -> dict[str, str]:
    """Text of every file by its path: a folder for each part, the router, and how to start all.

    Args:
        name: of the service.
        chosen: the joint instances and the pools.
        tenths: of the requests that the joint instances are sent.
        options: of both.
        made_by: ends the title of every file.

    Raises:
        ProblemError: not Kubernetes, or an engine that cannot run a part.
    """
    if options.target != "kubernetes":
        raise ProblemError(
            "--target",
            f"{options.target} is not written for joint instances beside pools, two services of one model; use --target kubernetes, or "
            "state serving: joint or disaggregated for the best of one kind",
        )
    files: dict[str, str] = {}
    services: list[Service] = []
    for part, one in zip(PARTS, chosen, strict=True):
        own = replace(one, name=f"{name}-{part}")
        services.append(build_service(own, options, f"{own.title(options.engine_name)}; {made_by}"))
        files |= {f"{part}/{path}": text for path, text in files_of_service(services[-1]).items()}
    app = service_name(f"{name}-both")
    weights = tenths, TENTHS - tenths
    known = [passed_on(options.model_id, one, weight) for one, weight in zip(services, weights, strict=True)]
    title = f"Router of both parts of {name}; {made_by}"
    files["router.yaml"] = yaml_text(*proxy(app, known, options.namespace), title=title)
    files["README.md"] = _readme(app, services, weights, options)
    return files


def _readme(app: str, services: list[Service], weights: tuple[int, int], options: Options) -> str:
    lines = [
        "# Joint instances beside prefill and decode pools",
        "",
        "Each folder holds the launch files of one part; its README.md says what it needs. `router.yaml` is a LiteLLM proxy that sends",
        "each request to one of them, at random by weight.",
        "",
        "| part | folder | instances | of ten requests | address in the cluster |",
        "|---|---|---|---|---|",
        *(
            f"| {one.name} | {part} | {len(one.engines)} | {weight} | {address_of(one)} |"
            for part, one, weight in zip(PARTS, services, weights, strict=True)
        ),
        "",
        "```bash",
        f"kubectl create secret generic huggingface -n {options.namespace} --from-literal=token=YOUR_TOKEN  # gated or private models",
        *(
            f"kubectl apply -f {part}/engines.yaml{f' -f {part}/router.yaml' if one.routed else ''}"
            for part, one in zip(PARTS, services, strict=True)
        ),
        "kubectl apply -f router.yaml",
        "```",
        "",
        f"Ask `http://{app}-router.{options.namespace}:{PROXY_PORT}/v1/chat/completions` with "
        f'`"model": "{options.model_id}"`.',
        "",
    ]
    return "\n".join(lines)
