"""Start scripts for bash, one per node; instances that span nodes join by the engine's own means or, if asked for, by Ray.

A script holds each process as a function; ``programs/supervise.py``, which goes beside it, keeps each of them running.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from optimizer.deployment import ray
from optimizer.deployment.command import joined
from optimizer.deployment.limits import DRAIN_S, STOP_S, start_limit_s
from optimizer.deployment.options import SERVICE_PORT
from optimizer.deployment.platforms import NVIDIA
from optimizer.deployment.pool_router import READY, PoolRouting, dealt, part_name, router_of, router_words, routings
from optimizer.deployment.programs import program
from optimizer.deployment.router import JOINT, ToServer, router_conf, start_router
from optimizer.deployment.service import Engine, Service
from optimizer.deployment.unlike import stages_of
from optimizer.engines.registry import engine_of
from optimizer.writing.quoting import shell_word
from optimizer.writing.yaml_text import comment

SUPERVISE, ROUTE = "supervise.py", "route.sh"
ROUTED = "# shellcheck disable=SC1091,SC2034  # route.sh reads what is set here"
SUPERVISOR = (SUPERVISE, "process_tree.py", "process_log.py")
PROGRAMS = (*SUPERVISOR, ROUTE)
"""Files that are the same in every deployment."""
NIXL = "python3 -m pip install nixl"
_FINDS_NIXL = 'import importlib.util, sys; sys.exit(importlib.util.find_spec("nixl") is None)'


@dataclass(frozen=True, slots=True)
class Process:
    """One process of a node: the lines of its function, and the flags with which it is supervised."""

    name: str
    body: tuple[str, ...]
    supervised: tuple[str, ...]


def shell_files(service: Service) -> dict[str, str]:
    """File names and contents."""
    files = {f"start-{service.host(node)}.sh": _script(service, node) for node in service.nodes}
    return {**files, **supervisor_files(), **service.settings_files(), **router_files(service)}


def supervisor_files() -> dict[str, str]:
    """The program that keeps processes, and what it imports."""
    return {name: program(name) for name in SUPERVISOR}


def router_files(service: Service) -> dict[str, str]:
    """The router's configuration and the script that runs it; nothing where one instance is all."""
    if not service.routed:
        return {}
    pools = {f"start-{one.name}.sh": _pool_router(service, one) for one in routings(service)}
    if service.pooled and not service.dealt:
        return pools
    servers = _servers(service)
    return {
        **pools,
        "router.conf": comment(service.title) + router_conf(SERVICE_PORT, len(servers), parts=service.dealt),
        "start-router.sh": "\n".join(
            [
                *head(service, ROUTED),
                "",
                "# supervise.py, where it is there, starts this script again with `run`, and starts it anew if it ends.",
                'if [ "${1-}" != run ] && [ -f supervise.py ]; then',
                f'  exec python3 supervise.py --grace {STOP_S} router -- bash "$PWD/$(basename "$0")" run',
                "fi",
                "",
                *start_router(servers, drain_s=DRAIN_S, dealt=dealt(service) if service.dealt else ()),
                "",
            ]
        ),
        ROUTE: program(ROUTE),
    }


def _servers(service: Service) -> list[ToServer]:
    """What nginx sends requests to: every instance, or joint instances and every router of pools."""
    if not service.dealt:
        return [(f"{service.host(one.launch.head)}:{one.port}", one.weight) for one in service.engines]
    joint = [
        (f"{service.host(one.launch.head)}:{one.port}", one.weight, JOINT, "/health") for one in service.of_role("")
    ]
    pools = [
        (f"{service.host(node)}:{one.port}", 1, part_name(service, number), READY)
        for number, one in enumerate(routings(service))
        for node in service.routers
    ]
    return [*joint, *pools]


def _pool_router(service: Service, routing: PoolRouting) -> str:
    """The script that keeps a router of prefill and decode pools."""
    router, name = router_of(service), routing.name
    words = router_words(service, routing, lambda engine: f"{service.host(engine.launch.head)}:{engine.port}")
    return "\n".join(
        [
            *head(service),
            'if [ "${1-}" != run ] && [ -f supervise.py ]; then',
            f"  python3 {SUPERVISE} --check {router.package} {router.version} || exit 1",
            f'  exec python3 {SUPERVISE} --grace {STOP_S} {name} -- bash "$PWD/$(basename "$0")" run',
            "fi",
            "",
            *call(words, {}),
            "",
        ]
    )


def head(service: Service, *more: str) -> list[str]:
    """The first lines of every script; ``more`` are comments of its own."""
    title = comment(service.title).rstrip()
    return ["#!/usr/bin/env bash", title, *more, "set -uo pipefail", 'cd "$(dirname "$0")" || exit 1']


def processes(service: Service, node: str) -> list[Process]:
    """Every process of a node."""
    return [one for engine, number in service.on(node) for one in _of_part(service, engine, number)]


def functions(found: list[Process]) -> list[str]:
    """Lines that hold each process as a function, and run the one that the script is called with."""
    lines: list[str] = []
    for process in found:
        lines += [f"{process.name}() {{", *(f"  {line}" for line in process.body), "}", ""]
    return [
        *lines,
        "# supervise.py calls this script with the name of one process.",
        'case "${1-}" in',
        *(f"  {process.name}) {process.name} ;;" for process in found),
        "esac",
    ]


def check(service: Service, engines: Sequence[Engine]) -> list[str]:
    """Lines that stop where the engine, or what these instances of it need, is not there."""
    options = service.options
    lines = [f"python3 {SUPERVISE} --check {engine_of(options.engine).package} {options.version} || exit 1"]
    of_pools = [engine for engine in engines if engine.role]
    if of_pools and all(service.platform(engine) is NVIDIA for engine in of_pools):
        lines += [
            f"if ! python3 -c '{_FINDS_NIXL}'; then",
            f'  echo "nixl is not installed, over which the pools send cache: {NIXL}" >&2',
            "  exit 1",
            "fi",
        ]
    if options.target == "ray" and any(len(engine.launch.parts) > 1 for engine in engines):
        lines += [
            "if ! command -v ray >/dev/null; then",
            f'  echo "ray is not installed, and the engine does not bring it: {ray.INSTALL}" >&2',
            "  exit 1",
            "fi",
        ]
    return lines


def _script(service: Service, node: str) -> str:
    found = processes(service, node)
    starts = [
        f'python3 {SUPERVISE} --with-parent {" ".join(process.supervised)} {process.name} -- bash "$script" {process.name} &'
        for process in found
    ]
    return "\n".join(
        [
            *head(service),
            'script=$PWD/$(basename "$0")',
            "",
            *functions(found),
            "",
            *check(service, [engine for engine, _ in service.on(node)]),
            *starts,
            "",
            "# Each process is stopped whole: TERM, time for its streams to end, KILL. A second signal cuts the wait.",
            "stopped=0",
            "trap 'stopped=130; jobs -p | xargs -r kill -TERM' INT",
            "trap 'stopped=143; jobs -p | xargs -r kill -TERM' TERM HUP",
            "code=0",
            "for job in $(jobs -p); do",
            "  while true; do",
            '    wait "$job"',
            "    ended=$?",
            '    kill -0 "$job" 2>/dev/null || break',
            "  done",
            '  [ "$ended" -eq 0 ] || code=$ended',
            "done",
            '[ "$stopped" -eq 0 ] || code=$stopped',
            'exit "$code"',
            "",
        ]
    )


def _of_part(service: Service, engine: Engine, number: int) -> list[Process]:
    """The processes of an instance on one node."""
    launch = engine.launch
    label = re.sub(r"\W", "_", launch.instance.name, flags=re.ASCII)
    several = len(launch.parts) > 1
    patient = ("--patient",) if several else ()
    by_ray = service.options.target == "ray" and several
    environment, found = {}, []
    if by_ray:
        found.append(Process(f"ray_{label}", tuple(ray.start(service, engine, number)), patient))
        environment["RAY_ADDRESS"] = ray.address(service, launch)
    if by_ray and number:
        return found
    command = engine.commands[number]
    before = ray.wait(service, launch) if by_ray else []
    if not by_ray:
        environment[service.platform(engine).visible] = joined(command.gpus)
        stages = service.problems[engine.instance.pool]
        cards = {stages[stage].hardware.gpu.name for stage in stages_of(launch, launch.parts[number])}
        if len(cards) > 1 and service.platform(engine) is NVIDIA:
            # Left alone, CUDA numbers the fastest card first.
            environment["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"
    words = command.filled(service.host(launch.head), str(number))
    body = (*before, *call(words, {**environment, **command.environment_on(service.host(launch.parts[number].node))}))
    limit = f"--ready-within {start_limit_s(service.weight_bytes(engine))}"
    serving = (f"--port {command.port}", f"--grace {STOP_S}", limit) if command.serves else ()
    return [*found, Process(f"run_{label}", body, (*serving, *patient))]


def call(words: tuple[str, ...], environment: dict[str, str]) -> list[str]:
    """A command as lines of bash: the environment, the program, then a flag with its value on each line."""
    lines = [f"export {name}={shell_word(value)}" for name, value in environment.items()]
    groups: list[list[str]] = [["exec"]]
    for word in words:
        if word.startswith("--"):
            groups.append([])
        groups[-1].append(shell_word(word))
    lines.append(" ".join(groups[0]))
    for group in groups[1:]:
        lines[-1] += " \\"
        lines.append("  " + " ".join(group))
    return lines
