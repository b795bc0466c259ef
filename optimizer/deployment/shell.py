"""Start scripts for bash, one per node; instances that span nodes join by the engine's own means or, if asked for, by Ray."""

from __future__ import annotations

import re

from optimizer.deployment import ray
from optimizer.deployment.command import joined
from optimizer.deployment.options import SERVICE_PORT
from optimizer.deployment.router import router_conf
from optimizer.deployment.service import Engine, Service
from optimizer.engines.registry import engine_of
from optimizer.writing.quoting import shell_word
from optimizer.writing.yaml_text import comment


def shell_files(service: Service) -> dict[str, str]:
    """File names and contents."""
    files = {f"start-{service.host(node)}.sh": _script(service, node) for node in service.nodes}
    if service.routed:
        servers = [(f"{service.host(one.launch.head)}:{one.port}", one.weight) for one in service.engines]
        files["router.conf"] = comment(service.title) + router_conf(servers, SERVICE_PORT)
        files["start-router.sh"] = "\n".join(
            [
                *_head(service),
                'exec nginx -p "$(pwd)" -c "$(pwd)/router.conf" -g \'daemon off;\'',
                "",
            ]
        )
    return files


def _head(service: Service) -> list[str]:
    return ["#!/usr/bin/env bash", comment(service.title).rstrip(), "set -euo pipefail", 'cd "$(dirname "$0")"']


def _script(service: Service, node: str) -> str:
    package = engine_of(service.options.engine).package
    want = service.options.version
    functions: list[str] = []
    names: list[str] = []
    for engine, number in service.on(node):
        for name, body in _functions(service, engine, number):
            functions += [f"{name}() {{", *(f"  {line}" for line in body), "}", ""]
            names.append(name)
    return "\n".join(
        [
            *_head(service),
            "",
            f"have=$(python3 -c 'from importlib.metadata import version; print(version(\"{package}\"))')",
            f'if [ "$have" != "{want}" ]; then',
            f'  echo "these commands are for {package} {want}, but $have is installed" >&2',
            "  exit 1",
            "fi",
            "mkdir -p logs",
            "",
            *functions,
            "# Runs a process again 10 s after it ended: an instance whose part failed starts whole.",
            "keep() {",
            "  while true; do",
            '    "$1" >>"logs/$1.log" 2>&1 || true',
            '    echo "$(date -Is) $1 ended; it starts again in 10 s (logs/$1.log)" >&2',
            "    sleep 10",
            "  done",
            "}",
            "",
            "# Each job has a process group of its own, which goes with this script.",
            "set -m",
            "stop() {",
            "  trap - EXIT INT TERM",
            "  for job in $(jobs -p); do",
            '    kill -- "-$job" 2>/dev/null || true',
            "  done",
            "}",
            "trap stop EXIT",
            "trap 'exit 130' INT",
            "trap 'exit 143' TERM",
            *(f"keep {name} &" for name in names),
            "wait",
            "",
        ]
    )


def _functions(service: Service, engine: Engine, number: int) -> list[tuple[str, list[str]]]:
    """(name, lines) of each process of an instance on one node."""
    launch = engine.launch
    label = re.sub(r"\W", "_", launch.instance.name, flags=re.ASCII)
    found = []
    by_ray = service.options.target == "ray" and len(launch.parts) > 1
    environment = {}
    if by_ray:
        found.append((f"ray_{label}", ray.start(service, engine, number)))
        environment["RAY_ADDRESS"] = ray.address(service, launch)
    if by_ray and number:
        return found
    command = engine.commands[number]
    if by_ray:
        before = ray.wait(service, launch)
    else:
        environment["CUDA_VISIBLE_DEVICES"] = joined(command.gpus)
        before = []
    words = command.filled(service.host(launch.head), str(number))
    body = [*before, *call(words, {**environment, **command.environment})]
    return [*found, (f"run_{label}", body)]


def call(words: tuple[str, ...], environment: dict[str, str]) -> list[str]:
    """A command as lines of bash: the environment, the program, then a flag with its value on each line."""
    lines = [f"{name}={shell_word(value)} \\" for name, value in environment.items()]
    groups: list[list[str]] = [[]]
    for word in words:
        if word.startswith("--"):
            groups.append([])
        groups[-1].append(shell_word(word))
    lines.append(" ".join(groups[0]))
    for group in groups[1:]:
        lines[-1] += " \\"
        lines.append("  " + " ".join(group))
    return lines
