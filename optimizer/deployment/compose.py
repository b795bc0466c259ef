"""Compose files, one per node: Compose runs containers of one machine only."""

from __future__ import annotations

from typing import Any

from optimizer.deployment.limits import STOP_S, start_limit_s
from optimizer.deployment.options import SERVICE_PORT
from optimizer.deployment.platforms import AMD, CACHE
from optimizer.deployment.pool_router import IMAGE as POOL_IMAGE
from optimizer.deployment.pool_router import READY, PoolRouting, install, routings
from optimizer.deployment.router import IMAGE
from optimizer.deployment.service import Engine, Service
from optimizer.deployment.shell import ROUTE, SUPERVISE, SUPERVISOR, router_files, supervisor_files
from optimizer.engines.registry import engine_of
from optimizer.writing.quoting import compose_text
from optimizer.writing.yaml_text import yaml_text

LAUNCH = "/launch"
"""Where a container sees files of this folder."""


def compose_files(service: Service) -> dict[str, str]:
    """File names and contents."""
    files: dict[str, str] = {}
    for node in service.nodes:
        services = {engine.instance.name: _engine(service, engine, number, node) for engine, number in service.on(node)}
        if node in service.routers:
            services |= {one.name: _pool_router(service, one) for one in routings(service)}
            if service.dealt or not service.pooled:
                services["router"] = _router()
        document = {"services": services, "volumes": {"huggingface": {}}}
        files[f"compose-{service.host(node)}.yaml"] = yaml_text(document, title=service.title)
    return {**files, **service.settings_files(), **supervisor_files(), **router_files(service)}


def _router() -> dict[str, Any]:
    files = ["start-router.sh", ROUTE, "router.conf"]
    ask = f"curl -s -o /dev/null -m 5 http://127.0.0.1:{SERVICE_PORT}/router/health"
    return {
        "image": IMAGE,
        "entrypoint": ["bash", f"{LAUNCH}/start-router.sh"],
        "network_mode": "host",
        "volumes": [f"./{name}:{LAUNCH}/{name}:ro" for name in files],
        "restart": "unless-stopped",
        "stop_grace_period": f"{STOP_S + 10}s",
        "healthcheck": {"test": ["CMD-SHELL", ask], "interval": "10s", "timeout": "6s", "retries": 3},
    }


def _pool_router(service: Service, routing: PoolRouting) -> dict[str, Any]:
    ask = f"import urllib.request as u; u.urlopen('http://127.0.0.1:{routing.port}{READY}', timeout=5)"
    script = f"start-{routing.name}.sh"
    return {
        "image": POOL_IMAGE,
        "entrypoint": ["bash", "-c", f"{install(service)} && exec bash {LAUNCH}/{script} run"],
        "network_mode": "host",
        "volumes": [f"./{script}:{LAUNCH}/{script}:ro"],
        "restart": "unless-stopped",
        "stop_grace_period": f"{STOP_S + 10}s",
        "healthcheck": {"test": ["CMD", "python3", "-c", ask], "interval": "10s", "timeout": "6s", "retries": 3},
    }


def _engine(service: Service, engine: Engine, number: int, node: str) -> dict[str, Any]:
    command = engine.commands[number]
    words = command.filled(service.host(engine.launch.head), str(number), LAUNCH)
    several = len(engine.commands) > 1
    supervised = ["--echo", "--stay", "--grace", str(STOP_S)]
    if command.serves:
        supervised += ["--port", str(command.port), "--ready-within", str(start_limit_s(service.weight_bytes(engine)))]
    if several:
        supervised.append("--patient")
    mounted = (*SUPERVISOR, command.settings_file)
    environment: dict[str, str | None] = {
        "HF_TOKEN": None,
        **{name: compose_text(value) for name, value in command.environment_on(service.host(node)).items()},
    }
    found: dict[str, Any] = {
        "image": compose_text(service.image(engine)),
        # It restarts an engine that hangs, which Compose itself does not do with an unhealthy container.
        "entrypoint": ["python3", f"{LAUNCH}/{SUPERVISE}", *supervised, "engine", "--"],
        "command": [compose_text(word) for word in words],
        "environment": environment,
        "working_dir": "/tmp",
        "network_mode": "host",
        "ipc": "host",
        "volumes": [f"huggingface:{CACHE}", *(f"./{name}:{LAUNCH}/{name}:ro" for name in mounted if name)],
        "restart": "unless-stopped",
        "stop_grace_period": f"{STOP_S + 20}s",
        **_gpus(service, engine, command.gpus, environment),
    }
    ulimits = engine_of(service.options.engine).ulimits
    if ulimits:
        found["ulimits"] = dict(ulimits)
    if command.serves:
        ask = f"import urllib.request as u; u.urlopen('http://127.0.0.1:{command.port}/health', timeout=5)"
        found["healthcheck"] = {
            "test": ["CMD", "python3", "-c", ask],
            "interval": "10s",
            "timeout": "6s",
            "retries": 3,
            "start_period": f"{start_limit_s(service.weight_bytes(engine))}s",
        }
    return found


def _gpus(
    service: Service, engine: Engine, gpus: tuple[int, ...], environment: dict[str, str | None]
) -> dict[str, Any]:
    """The fields that give a container its GPUs; ``environment`` gets their order where it is not the host's."""
    platform, present = service.platform(engine), sorted(gpus)
    if platform is AMD:
        environment[platform.visible] = ",".join(str(gpu) for gpu in gpus)
        return {"devices": ["/dev/kfd", "/dev/dri"], "group_add": ["video"], "security_opt": ["seccomp=unconfined"]}
    if list(gpus) != present:
        # In the container the GPUs are numbered anew, from 0 in the order of the host.
        environment[platform.visible] = ",".join(str(present.index(gpu)) for gpu in gpus)
    device = {"driver": "nvidia", "device_ids": [str(gpu) for gpu in present], "capabilities": ["gpu"]}
    return {"deploy": {"resources": {"reservations": {"devices": [device]}}}}
