"""Slurm: a batch job for each instance, which fails alone, and one for each router. Options: https://slurm.schedmd.com/sbatch.html

Slurm chooses the nodes and the GPUs, so a job writes where it serves into ``endpoints/`` of the folder, which all nodes share, and the
routers read it there.
"""

from __future__ import annotations

from optimizer.deployment.command import FOLDER, HEAD, NODE, RANK
from optimizer.deployment.limits import DRAIN_S, STOP_S, start_limit_s
from optimizer.deployment.names import service_name
from optimizer.deployment.options import SERVICE_PORT
from optimizer.deployment.pool_router import READY, PoolRouting, dealt, part_name, router_of, router_words, routings
from optimizer.deployment.programs import program
from optimizer.deployment.router import JOINT, router_conf, start_router
from optimizer.deployment.service import Engine, Service
from optimizer.deployment.shell import ROUTE, ROUTED, SUPERVISE, call, check, supervisor_files
from optimizer.deployment.unlike import unlike, where
from optimizer.facts.errors import ProblemError
from optimizer.writing.yaml_text import comment

ENDPOINTS, SERVERS = "endpoints", "servers"
"""Folders in which jobs write where they serve; the second where nginx deals between parts: what it sends to."""
LEAD_S = 20
"""Slurm's own signals may be this late; sbatch rounds to its resolution of 30 s anyway."""


def slurm_files(service: Service) -> dict[str, str]:
    """File names and contents.

    Raises:
        ProblemError: an instance has unequal or unlike parts, which an allocation of equal nodes in any order cannot hold.
    """
    files = {}
    for engine in service.engines:
        _refuse(service, engine)
        files[f"{engine.instance.name}.sbatch"] = _job(service, engine)
    files |= {**supervisor_files(), **service.settings_files()}
    of_pools = routings(service)
    files |= {f"{one.name}.sbatch": _pool_router(service, number, one) for number, one in enumerate(of_pools)}
    if service.routed and (service.dealt or not service.pooled):
        servers = len(service.of_role("")) + _routers(service) * len(of_pools)
        conf = router_conf(SERVICE_PORT, servers, parts=service.dealt)
        files["router.conf"] = comment(service.title) + conf
        files["router.sbatch"] = _router(service)
        files[ROUTE] = program(ROUTE)
    return files


def _refuse(service: Service, engine: Engine) -> None:
    stages = service.problems[engine.instance.pool]
    if len(engine.launch.parts) > 1 and (not engine.launch.even or unlike(stages)):
        said = where(stages, engine.launch) if unlike(stages) else f"{engine.instance.name} has unequal parts"
        raise ProblemError(
            "--target", f"{said}; an allocation of Slurm has equal nodes in an order of its own. Use --target shell"
        )


def _head(service: Service, name: str, *options: str) -> list[str]:
    return [
        "#!/usr/bin/env bash",
        comment(service.title).rstrip(),
        f"#SBATCH --job-name={service_name(service.name)}-{name}",
        *(f"#SBATCH {option}" for option in options),
        "#SBATCH --ntasks-per-node=1",
        "#SBATCH --open-mode=append",
        "#SBATCH --output=%x.log",
        "#SBATCH --requeue",
        f"#SBATCH --signal=TERM@{STOP_S + LEAD_S}",
    ]


def _job(service: Service, engine: Engine) -> str:
    parts, name = engine.launch.parts, engine.instance.name
    asked = [f"--nodes={len(parts)}", f"--gpus-per-node={len(parts[0].indices)}"]
    if service.options.hosts:
        asked.append(f"--nodelist={','.join(service.host(part.node) for part in parts)}")
    first, *others = engine.commands
    supervised = f"--port {first.port} --grace {STOP_S} --ready-within {start_limit_s(service.weight_bytes(engine))}"
    patient = " --patient" if others else ""
    fronted = service.beside and not engine.role
    written, told = (SERVERS, f" {JOINT} /health") if fronted else (ENDPOINTS, "")
    lines = [
        *_head(service, name, *asked),
        "set -uo pipefail",
        "",
        "run_engine() {",
        *(f"  {line}" for line in _call(first.arguments, first.environment)),
        "}",
        "",
    ]
    if others:
        lines += [
            "run_worker() {",
            *(f"  {line}" for line in _call(others[0].arguments, others[0].environment)),
            "}",
            "",
        ]
    lines += [
        "# Slurm keeps the script elsewhere: it starts this copy of itself on every node.",
        'case "${1-}" in',
        "  run_engine) run_engine ;;",
        *(["  run_worker) run_worker ;;"] if others else []),
        "  task)",
        *(f"    {line}" for line in check(service, [engine])),
        '    if [ "$SLURM_NODEID" -eq 0 ]; then',
        f"      mkdir -p {written}",
        f'      echo "$head:{first.port} {engine.weight}{told}" >"{written}/{name}"',
        f'      exec python3 {SUPERVISE} --echo {supervised}{patient} {name} -- bash "$script" run_engine',
        "    fi",
        *(
            [f'    exec python3 {SUPERVISE} --echo --patient "{name}-$SLURM_NODEID" -- bash "$script" run_worker']
            if others
            else []
        ),
        "    exit 1",
        "    ;;",
        "esac",
        "",
        'head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)',
        f"script=$SLURM_SUBMIT_DIR/{name}.sbatch",
        "export head script",
        'cd "$SLURM_SUBMIT_DIR" || exit 1',
        'exec srun --kill-on-bad-exit=1 bash "$script" task',
        "",
    ]
    return "\n".join(lines)


def _call(words: tuple[str, ...], environment: dict[str, str]) -> list[str]:
    """The command, with what only the job knows as variables of the shell: the marks are words that need no quotes."""
    there = tuple(word.replace(FOLDER, ".") for word in words)
    known = {HEAD: '"$head"', RANK: '"$SLURM_NODEID"', NODE: '"$SLURMD_NODENAME"'}
    lines = call(there, environment)
    for mark, variable in known.items():
        lines = [line.replace(mark, variable) for line in lines]
    return lines


def _router(service: Service) -> str:
    """As many routers as the answer asks for, on different nodes, each a task."""
    shares = dealt(service) if service.dealt else ()
    return "\n".join(
        [
            *_head(service, "router", f"--nodes={_routers(service)}", "--cpus-per-task=2"),
            ROUTED,
            "set -uo pipefail",
            'if [ "${1-}" = run ]; then',
            *(f"  {line}" for line in start_router([], drain_s=DRAIN_S, dealt=shares)[1:-1]),
            f"  endpoints={SERVERS if service.dealt else ENDPOINTS}",
            "  . ./route.sh",
            "fi",
            'if [ "${1-}" = task ]; then',
            f'  exec python3 {SUPERVISE} --echo --grace {STOP_S} "router-$SLURM_NODEID" -- bash router.sbatch run',
            "fi",
            'cd "$SLURM_SUBMIT_DIR" || exit 1',
            "exec srun --kill-on-bad-exit=0 bash router.sbatch task",
            "",
        ]
    )


def _routers(service: Service) -> int:
    """How many routers there are."""
    return min(service.router_count, max(1, len(service.nodes)))


def _pool_router(service: Service, number: int, routing: PoolRouting) -> str:
    """The routers of pools, each a task: started when every instance has written where it serves, and anew when one moves."""
    names = [engine.instance.name for engine in routing.engines]
    job, part = routing.name, part_name(service, number)
    entry = (
        [
            f"  mkdir -p {SERVERS}",
            f'  echo "$SLURMD_NODENAME:{routing.port} 1 {part} {READY}" >"{SERVERS}/{job}-$SLURM_NODEID"',
        ]
        if service.dealt
        else []
    )
    words = router_words(service, routing, lambda engine: f"@at-{engine.instance.name}@")
    lines = call(words, {})
    for name in names:
        lines = [line.replace(f"@at-{name}@", f'"$(at {name})"') for line in lines]
    router = router_of(service)
    return "\n".join(
        [
            *_head(service, job, f"--nodes={_routers(service)}", "--cpus-per-task=2"),
            "set -uo pipefail",
            "# Where an instance serves: its job writes it.",
            'at() { cut -d " " -f 1 "endpoints/$1"; }',
            f"every() {{ (cd endpoints 2>/dev/null && cat {' '.join(names)} 2>/dev/null); }}",
            "route() {",
            *(f"  {line}" for line in lines),
            "}",
            'if [ "${1-}" = run ]; then',
            "  route",
            "fi",
            'if [ "${1-}" = task ]; then',
            f"  python3 {SUPERVISE} --check {router.package} {router.version} || exit 1",
            "  stopped=0",
            """  trap 'stopped=1; [ -z "${kept-}" ] || kill -TERM "$kept"' TERM INT""",
            *entry,
            "  until every >/dev/null; do sleep 5; done",
            '  while [ "$stopped" = 0 ]; do',
            "    known=$(every)",
            f'    python3 {SUPERVISE} --echo --grace {STOP_S} "{job}-$SLURM_NODEID" -- bash {job}.sbatch run &',
            "    kept=$!",
            '    while kill -0 "$kept" 2>/dev/null && [ "$(every)" = "$known" ]; do sleep 5; done',
            '    kill -TERM "$kept" 2>/dev/null',
            '    wait "$kept"',
            "  done",
            "  wait",
            "  exit 0",
            "fi",
            'cd "$SLURM_SUBMIT_DIR" || exit 1',
            f"exec srun --kill-on-bad-exit=0 bash {job}.sbatch task",
            "",
        ]
    )
