"""Compose files, one per node: Compose runs containers of one machine only."""

from __future__ import annotations

from typing import Any

from optimizer.deployment.options import SERVICE_PORT
from optimizer.deployment.router import IMAGE, router_conf
from optimizer.deployment.service import Engine, Service
from optimizer.writing.quoting import compose_text
from optimizer.writing.yaml_text import comment, yaml_text

CACHE = "/root/.cache/huggingface"


def compose_files(service: Service) -> dict[str, str]:
    """File names and contents."""
    files: dict[str, str] = {}
    for node in service.nodes:
        services = {engine.instance.name: _engine(service, engine, number) for engine, number in service.on(node)}
        if service.routed and node == service.nodes[0]:
            services["router"] = {
                "image": IMAGE,
                "network_mode": "host",
                "volumes": ["./router.conf:/etc/nginx/nginx.conf:ro"],
                "restart": "unless-stopped",
            }
        document = {"services": services, "volumes": {"huggingface": {}}}
        files[f"compose-{service.host(node)}.yaml"] = yaml_text(document, title=service.title)
    if service.routed:
        servers = [(f"{service.host(one.launch.head)}:{one.port}", one.weight) for one in service.engines]
        files["router.conf"] = comment(service.title) + router_conf(servers, SERVICE_PORT)
    return files


def _engine(service: Service, engine: Engine, number: int) -> dict[str, Any]:
    command = engine.commands[number]
    words = command.filled(service.host(engine.launch.head), str(number))
    present = sorted(command.gpus)
    environment: dict[str, str | None] = {
        "HF_TOKEN": None,
        **{name: compose_text(value) for name, value in command.environment.items()},
    }
    if list(command.gpus) != present:
        # In the container the GPUs are numbered anew, from 0 in the order of the host.
        environment["CUDA_VISIBLE_DEVICES"] = ",".join(str(present.index(gpu)) for gpu in command.gpus)
    found: dict[str, Any] = {
        "image": compose_text(service.options.image),
        "entrypoint": [compose_text(words[0])],
        "command": [compose_text(word) for word in words[1:]],
        "environment": environment,
        "network_mode": "host",
        "ipc": "host",
        "volumes": [f"huggingface:{CACHE}"],
        "restart": "unless-stopped",
        "deploy": {
            "resources": {
                "reservations": {
                    "devices": [
                        {"driver": "nvidia", "device_ids": [str(gpu) for gpu in present], "capabilities": ["gpu"]}
                    ]
                }
            }
        },
    }
    if command.serves:
        ask = f"import urllib.request as u; u.urlopen('http://127.0.0.1:{command.port}/health', timeout=5)"
        found["healthcheck"] = {
            "test": ["CMD", "python3", "-c", ask],
            "interval": "10s",
            "timeout": "6s",
            "retries": 3,
            "start_period": "3600s",
        }
    return found
