"""What a deployment would start where, in lines for a person: ``optimizer deploy --dry-run``."""

from __future__ import annotations

from collections.abc import Mapping

from optimizer.deployment.command import joined
from optimizer.deployment.options import SERVICE_PORT
from optimizer.deployment.pool_router import percent, routings
from optimizer.deployment.service import Service
from optimizer.facts.text import visible


def plan_lines(service: Service, files: Mapping[str, str]) -> list[str]:
    """One line for each process, then routers and files. GPUs are those of the placement; Kubernetes and Slurm choose their own."""
    options = service.options
    chosen_there = options.in_pods or options.target == "slurm"
    lines = [f"{visible(service.name)}: would start with {options.engine_name}, target {options.target}"]
    for node in service.nodes:
        lines.append(f"{'a node like ' if chosen_there else ''}{visible(service.host(node))}:")
        for engine, number in service.on(node):
            part = engine.launch.parts[number]
            where = f"GPUs {joined(part.indices)}"
            command = engine.commands[number] if number < len(engine.commands) else None
            serves = (
                f", serves port {command.port}" if command is not None and command.serves else ", serves nothing itself"
            )
            of = f" (part {number + 1} of {len(engine.launch.parts)})" if len(engine.launch.parts) > 1 else ""
            lines.append(f"  {visible(engine.instance.name)}{of}: {where}{serves}")
        if node in service.routers and not chosen_there:
            if service.dealt:
                lines += [
                    f"  {one.name}: port {one.port}, before {len(one.engines)} instances" for one in routings(service)
                ]
            lines.append(f"  router: port {SERVICE_PORT}, before {len(service.engines)} instances{_dealt(service)}")
    if service.fronted and not service.pooled:
        lines.append("no router of its own: the one before both parts knows each instance")
    elif options.target == "llm-d":
        lines.append(f"router: llm-d's own chart, before {len(service.engines)} instances")
    elif service.routed and chosen_there:
        lines.append(
            f"routers: {service.router_count}, port {SERVICE_PORT}, before {len(service.engines)} instances{_dealt(service)}"
        )
    if not service.routed and not service.fronted:
        lines.append(f"no router: clients ask port {service.engines[0].port} of the one instance")
    first = service.engines[0].commands[0]
    lines.append(
        f"command of {visible(service.engines[0].instance.name)}: {' '.join(visible(word) for word in first.arguments)}"
    )
    lines.append(f"files: {', '.join(sorted(files))}")
    lines.append("Nothing was written.")
    return lines


def _dealt(service: Service) -> str:
    if not service.dealt:
        return ""
    sent = [(one.name, one.share) for one in routings(service)]
    if service.beside:
        sent.insert(0, ("joint ones", service.joint_share))
    return f"; of the requests {' and '.join(f'{percent(share)} to {name}' for name, share in sent)}"
