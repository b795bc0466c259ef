"""The README beside launch files: how to start, which engine version, and which number of the answer stands where."""

from __future__ import annotations

from optimizer.deployment import dynamo, llm_d, pools_readme
from optimizer.deployment.limits import STOP_S
from optimizer.deployment.names import service_name
from optimizer.deployment.options import SERVICE_PORT
from optimizer.deployment.parts import LaunchPart
from optimizer.deployment.platforms import CACHE, products_of
from optimizer.deployment.pods import weights_path
from optimizer.deployment.pool_router import names_of_routers
from optimizer.deployment.ray import INSTALL
from optimizer.deployment.service import Engine, Service
from optimizer.deployment.slurm import ENDPOINTS, SERVERS
from optimizer.deployment.systemd import folder
from optimizer.deployment.unlike import stages_in_words, stages_of, unlike
from optimizer.engines.registry import engine_of
from optimizer.writing.quoting import markdown, shell_word

SHOWN = 20


def readme(service: Service) -> str:
    """Markdown."""
    options = service.options
    lines = [f"# {markdown(service.name)}", "", f"{markdown(service.title)}.", ""]
    lines += [f"- {markdown(note)}" for note in service.notes] + ([""] if service.notes else [])
    lines += ["## Start", "", *_start(service), ""]
    lines += ["## Where each instance runs", "", "| instance | strategy | share | GPUs |", "|---|---|---|---|"]
    for engine, share in list(zip(service.engines, service.shares, strict=True))[:SHOWN]:
        places = "; ".join(
            markdown(
                f"{service.host(part.node)}: {', '.join(str(index) for index in part.indices)}{_held(service, engine, part)}"
            )
            for part in engine.launch.parts
        )
        lines.append(f"| {markdown(engine.instance.name)} | {_shape(engine)} | {float(share):.2%} | {places} |")
    if len(service.engines) > SHOWN:
        lines.append(f"| … {len(service.engines) - SHOWN} more | | | |")
    if any(unlike(service.problems[engine.instance.pool]) for engine in service.engines):
        lines += ["", "Stages stand on unlike GPUs: what is made for a node has to run on that node and no other."]
    if options.target == "slurm":
        lines += ["", "Slurm chooses the nodes, unless --hosts named them, and the GPUs itself."]
    if options.in_pods:
        lines += ["", "Kubernetes chooses the nodes and the GPUs itself, within the rules in the manifests."]
    lines += pools_readme.section(service)
    lines += ["", "## What the settings carry", "", *_settings(service), ""]
    return "\n".join(lines)


def _shape(engine: Engine) -> str:
    strategy = engine.instance.strategy
    text = f"TP{strategy.tensor_parallel}·PP{strategy.pipeline_parallel}"
    if engine.instance.replicas > 1:
        text += f" × {engine.instance.replicas} data-parallel ranks"
    if strategy.expert_slice_ranks > 1:
        text += f", every expert sliced over {strategy.tensor_parallel * strategy.expert_slice_ranks} GPUs"
    if strategy.decode_context_parallel > 1:
        text += f", each sequence's cache shared by {strategy.decode_context_parallel} GPUs"
    if strategy.expert_parallel > 1:
        text += f", experts over {strategy.expert_parallel} GPUs"
    if strategy.pipeline_parallel > 1:
        text += f", layers {'+'.join(str(layers) for layers in strategy.layers_per_stage)}"
    return text


def _held(service: Service, engine: Engine, part: LaunchPart) -> str:
    """Which stages a node of a pipeline runs, and on which GPUs where the service has several kinds."""
    stages = service.problems[engine.instance.pool]
    held = stages_of(engine.launch, part)
    facts = []
    if engine.instance.strategy.pipeline_parallel > 1 and len(engine.launch.parts) > 1:
        facts.append(stages_in_words(held))
    if len({problem.hardware.gpu.name for pool in service.problems for problem in pool}) > 1:
        facts.append(stages[held[0]].hardware.gpu.name)
    return f" ({', '.join(facts)})" if facts else ""


def _crosses(service: Service, engine: Engine) -> bool:
    hardware = service.problems[engine.instance.pool][0].hardware
    return hardware.nvlink_domain_gpus > hardware.gpus_per_node and hardware.nvlink_gb_per_s > 0


def _start(service: Service) -> list[str]:
    options = service.options
    hosts = [service.host(node) for node in service.nodes]
    if service.fronted:
        return [*_pods_need(service), "", "The README.md one folder up says how to start."]
    if options.target == "kubernetes":
        return _start_kubernetes(service)
    if options.target in ("llm-d", "dynamo"):
        return [*_pods_need(service), "", *(llm_d if options.target == "llm-d" else dynamo).start(service)]
    if options.target == "compose":
        commands = [
            f"docker compose -f {shell_word(f'compose-{host}.yaml')} up -d   # on {host}" for host in hosts[:SHOWN]
        ]
    elif options.target == "systemd":
        return _start_systemd(service)
    elif options.target == "slurm":
        return _start_slurm(service)
    else:
        commands = [f"bash {shell_word(f'start-{host}.sh')}   # on {host}" for host in hosts[:SHOWN]]
        if service.routed:
            places = " and on ".join(service.host(node) for node in service.routers)
            commands += [f"bash start-{name}.sh   # on {places}" for name in names_of_routers(service)]
    more = [f"The other {len(hosts) - SHOWN} nodes likewise."] if len(hosts) > SHOWN else []
    several = " and so on" if len(hosts) > 3 else ""
    return [
        "Every node needs this folder. They reach each other as "
        f"{markdown(', '.join(hosts[:3]))}{several} (other names: --hosts).",
        "",
        "```bash",
        *commands,
        "```",
        "",
        *more,
        *_entrance(service),
        *_upkeep(service),
    ]


def _entrance(service: Service) -> list[str]:
    """Where clients come in, and what they have to do when that is gone."""
    if service.pooled and not service.dealt:
        return pools_readme.entrance(service)
    if not service.routed:
        return [f"Requests go to port {SERVICE_PORT} of {markdown(service.host(service.nodes[0]))}."]
    places = [markdown(service.host(node)) for node in service.routers]
    if len(places) == 1:
        return [
            f"Requests go to port {SERVICE_PORT} of {places[0]}, where the router is. With it, or with that node, the service is away: "
            "it is a single point. /router/health says whether any engine is up."
        ]
    return [
        f"Requests go to port {SERVICE_PORT} of {' or '.join(places)}: each has a router, and any of them reaches every engine. "
        "A client that cannot connect to one has to try the next: give it every address, put a load balancer or a floating "
        "address (keepalived) before them that asks /router/health, or name them all in one DNS record. A client that knows one "
        "of them only has a single point of failure."
    ]


def router_needs(service: Service) -> list[str]:
    """What the router needs besides the engine."""
    if not service.routed:
        return []
    pools = pools_readme.needs(service) if service.pooled else []
    return [*pools, *(["nginx", "curl"] if service.dealt or not service.pooled else [])]


def _upkeep(service: Service) -> list[str]:
    options = service.options
    if options.target == "compose":
        return [
            "A container that hangs is started again by supervise.py inside it; one that fails three times in the same way stays, "
            "unhealthy, with the cause in its log (`docker compose logs`); `docker compose restart` tries again."
        ]
    needs = ["bash", "python3 (3.9 or newer)", *router_needs(service)]
    found = [
        f"Needed besides the engine: {', '.join(needs)}. Logs, with their rotated predecessors, are in logs/. Ctrl-C or TERM stops "
        "everything that a script started; a second one does not wait for open streams. A start that fails three times in the same "
        "way is given up, and its cause is the last line; scripts keep running after a logout under nohup or tmux only."
    ]
    if options.target == "ray":
        found.append(f"Instances that span nodes need Ray, which the engine does not bring: `{INSTALL}`.")
    return found


def _start_systemd(service: Service) -> list[str]:
    name, place = service_name(service.name), folder(service)
    commands = [f"sudo mkdir -p {place} && sudo cp -r . {place}", f"cd {place}"]
    commands += [
        f"sudo systemctl enable --now {place}/*.{host}.service   # on {host}"
        for host in [service.host(node) for node in service.nodes][:SHOWN]
    ]
    commands += [
        f"sudo systemctl enable --now {place}/{name}-{router}.service   # on {service.host(node)}"
        for node in service.routers
        for router in names_of_routers(service)
    ]
    return [
        f"On every node, this folder becomes {place}; the units name that path. {place}/environment may hold PATH (of the engine's "
        "environment), HF_TOKEN and the engine's own variables. Needed besides the engine: bash, python3 (3.9 or newer)"
        f"{''.join(f', {one}' for one in router_needs(service))}.",
        "",
        "```bash",
        *commands,
        "```",
        "",
        *_entrance(service),
        "`journalctl -u UNIT` has the log; a unit that was given up (exit 78) has its cause there, and `systemctl restart` tries again.",
    ]


def _start_slurm(service: Service) -> list[str]:
    found = [
        "Submit from this folder, which every node has to see under the same path (a shared file system), in the engine's "
        "environment (modules, a virtual environment: sbatch passes it on).",
        "Partition, account and the GPU type (--gres) are your cluster's: add them on the command line. On a shared node a job has "
        "its own GPUs only where Slurm is set up with cgroups (ConstrainDevices).",
        "",
        "```bash",
        *(f"sbatch {engine.instance.name}.sbatch" for engine in service.engines[:SHOWN]),
        *(f"sbatch {name}.sbatch" for name in names_of_routers(service)),
        "```",
        "",
    ]
    if service.routed:
        written = f"{ENDPOINTS}/ or {SERVERS}/" if service.dealt else f"{ENDPOINTS}/"
        found += [
            f"Each job writes where it serves into {written}, which the routers read. Requests go to port "
            f"{SERVICE_PORT} of the nodes of the router's job; where it has several, a client has to try the next if one does not answer.",
        ]
    return [
        *found,
        "`scancel` kills what is left after the cluster's KillWait; after `scancel --signal=TERM` streams may end, for up to "
        f"{STOP_S} s.",
    ]


def _start_kubernetes(service: Service) -> list[str]:
    options = service.options
    files = "-f engines.yaml" + (" -f router.yaml" if service.routed else "")
    return [
        *_pods_need(service),
        "",
        "```bash",
        f"kubectl create secret generic huggingface -n {options.namespace} --from-literal=token=YOUR_TOKEN  # gated or private models",
        f"kubectl apply {files}",
        "```",
    ]


def _pods_need(service: Service) -> list[str]:
    """What the cluster has to have for the pods, in sentences."""
    found = list(dict.fromkeys(service.platform(engine).needs for engine in service.engines))
    several = any(len(engine.launch.parts) > 1 for engine in service.engines)
    if (service.pooled or several) and service.options.target != "dynamo":
        found.append("The cluster needs LeaderWorkerSet (https://lws.sigs.k8s.io).")
    if any(engine.launch.parts[1:] and _crosses(service, engine) for engine in service.engines):
        found.append(
            "Instances use NVLink between nodes: keep each within one NVLink domain, for example with one LeaderWorkerSet "
            "per domain and --hosts."
        )
    unknown = sorted({service.gpu(engine).name for engine in service.engines if not products_of(service.gpu(engine))})
    if unknown:
        found.append(
            f"No label is known that tells {markdown(', '.join(unknown))} from other GPUs: nodes with any GPU of its vendor are taken; "
            "add one of yours to nodeAffinity, or name the nodes (--hosts)."
        )
    found.append(
        "The claim *-weights keeps the weights; where several pods share it the storage class has to offer ReadWriteMany."
    )
    if weights_path(service) != CACHE:
        found.append(f"Put the checkpoint on it: it is mounted at {markdown(weights_path(service))}.")
    return found


def _settings(service: Service) -> list[str]:
    """One table per pool: each flag that carries a number of the answer."""
    lines: list[str] = []
    shown: set[int] = set()
    for engine in service.engines:
        if engine.instance.pool in shown:
            continue
        shown.add(engine.instance.pool)
        stages, strategy = service.problems[engine.instance.pool], engine.instance.strategy
        words = {"weights": strategy.weight_precision, "kv": strategy.kv_precision}
        command, meaning = engine.commands[0], engine_of(service.options.engine).carries
        gpus = " and ".join(dict.fromkeys(problem.hardware.gpu.name for problem in stages))
        label = f"{markdown(gpus)}, " if len(service.problems) > 1 else ""
        label = f"{engine.role or 'joint'}: " if service.pooled else label
        lines += [f"{label}{service.options.engine_name}:", "", "| setting | value | from |", "|---|---|---|"]
        for flag, said in meaning.items():
            value = command.value(flag) or command.setting(flag)
            if value is not None:
                lines.append(f"| `{flag}` | {markdown(value)} | {said.format(**words)} |")
        lines.append("")
    return lines[:-1]
