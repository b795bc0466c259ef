"""Ray clusters for instances that span nodes: one cluster per instance, of exactly its nodes and GPUs.

A cluster of its own keeps an instance on its GPUs and lets it fail alone. Flags of ``ray start``:
https://docs.ray.io/en/latest/cluster/cli.html
"""

from __future__ import annotations

from optimizer.deployment.command import joined
from optimizer.deployment.parts import Launch
from optimizer.deployment.service import Engine, Service

PORT, AGENT_PORT = 6379, 52365
INSTALL = "python3 -m pip install 'ray[default]'"


def address(service: Service, launch: Launch) -> str:
    """Where the instance's cluster is reached."""
    return f"{service.host(launch.head)}:{PORT + launch.slot}"


def start(service: Service, engine: Engine, number: int) -> list[str]:
    """Lines of bash that join a node to the cluster, and stay."""
    launch = engine.launch
    part = launch.parts[number]
    if number:
        role = [f"exec ray start --address={address(service, launch)} \\"]
    else:
        role = [f"exec ray start --head --port={PORT + launch.slot} --include-dashboard=False \\"]
    return [
        f"export {service.platform(engine).visible}={joined(part.indices)}",
        *role,
        f"  --num-gpus={len(part.indices)} --dashboard-agent-listen-port={AGENT_PORT + launch.slot} --block",
    ]


def wait(service: Service, launch: Launch) -> list[str]:
    """Lines of bash that wait until every GPU of the instance has joined."""
    test = (
        f'import ray, sys; ray.init("{address(service, launch)}", log_to_driver=False); '
        f'sys.exit(ray.cluster_resources().get("GPU", 0) < {len(launch.instance.gpus)})'
    )
    return [f"until python3 -c '{test}'; do", "  sleep 5", "done"]
