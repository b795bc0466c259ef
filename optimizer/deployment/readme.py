"""The README beside launch files: how to start, which engine version, and which number of the answer stands where."""

from __future__ import annotations

from optimizer.deployment.options import SERVICE_PORT
from optimizer.deployment.parts import LaunchPart
from optimizer.deployment.service import Engine, Service
from optimizer.deployment.unlike import stages_in_words, stages_of, unlike
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
    if options.target == "kubernetes":
        lines += ["", "Kubernetes chooses the nodes and the GPUs itself, within the rules in the manifests."]
    lines += ["", "## What the settings carry", "", *_settings(service), ""]
    return "\n".join(lines)


def _shape(engine: Engine) -> str:
    strategy = engine.instance.strategy
    text = f"TP{strategy.tensor_parallel}·PP{strategy.pipeline_parallel}"
    if engine.instance.replicas > 1:
        text += f" × {engine.instance.replicas} data-parallel ranks"
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
    if options.target == "kubernetes":
        spans = any(len(engine.launch.parts) > 1 for engine in service.engines)
        found = ["The nodes need NVIDIA's GPU operator (device plugin and feature discovery)."]
        if spans:
            found.append("The cluster needs LeaderWorkerSet (https://lws.sigs.k8s.io).")
        if any(engine.launch.parts[1:] and _crosses(service, engine) for engine in service.engines):
            found.append(
                "Instances use NVLink between nodes: keep each within one NVLink domain, for example with one LeaderWorkerSet "
                "per domain and --hosts."
            )
        files = "-f engines.yaml" + (" -f router.yaml" if service.routed else "")
        return [
            *found,
            "",
            "```bash",
            f"kubectl create secret generic huggingface -n {options.namespace} --from-literal=token=YOUR_TOKEN  # gated models only",
            f"kubectl apply {files}",
            "```",
        ]
    if options.target == "compose":
        commands = [
            f"docker compose -f {shell_word(f'compose-{host}.yaml')} up -d   # on {host}" for host in hosts[:SHOWN]
        ]
    else:
        commands = [f"bash {shell_word(f'start-{host}.sh')}   # on {host}" for host in hosts[:SHOWN]]
        if service.routed:
            commands.append("bash start-router.sh   # where clients reach it; needs nginx")
    more = [f"The other {len(hosts) - SHOWN} nodes likewise."] if len(hosts) > SHOWN else []
    where = hosts[0] if options.target == "compose" or not service.routed else "the router's machine"
    return [
        f"The nodes reach each other as {markdown(', '.join(hosts[:3]))}{' and so on' if len(hosts) > 3 else ''} (other names: --hosts).",
        "",
        "```bash",
        *commands,
        "```",
        "",
        *more,
        f"Requests go to port {SERVICE_PORT} of {markdown(where)}.",
    ]


def _settings(service: Service) -> list[str]:
    """One table per pool: each flag that carries a number of the answer."""
    lines: list[str] = []
    shown: set[int] = set()
    for engine in service.engines:
        if engine.instance.pool in shown:
            continue
        shown.add(engine.instance.pool)
        stages, strategy = service.problems[engine.instance.pool], engine.instance.strategy
        meaning = {
            "--max-num-seqs": "max_num_seqs of the answer; per data-parallel rank",
            "--max-running-requests": "max_num_seqs of the answer times the data-parallel ranks of the server",
            "--max-num-batched-tokens": "search.max_num_batched_tokens; per data-parallel rank",
            "--chunked-prefill-size": "search.max_num_batched_tokens times the data-parallel ranks of the server",
            "--max-model-len": "requirements.max_sequence_tokens; left out, what fits beside the load",
            "--context-length": "requirements.max_sequence_tokens; left out, what fits beside the load",
            "--gpu-memory-utilization": "requirements.gpu_memory_utilization",
            "--mem-fraction-static": "the largest with which no GPU uses more than gpu_memory_utilization, in thousandths",
            "--dtype": f"weights {strategy.weight_precision}; activations in the model's 16-bit type",
            "--quantization": f"weights converted to {strategy.weight_precision} while loading",
            "--kv-cache-dtype": f"KV cache {strategy.kv_precision}",
        }
        gpus = " and ".join(dict.fromkeys(problem.hardware.gpu.name for problem in stages))
        label = f"{markdown(gpus)}, " if len(service.problems) > 1 else ""
        lines += [f"{label}{service.options.engine_name}:", "", "| setting | value | from |", "|---|---|---|"]
        for flag, words in meaning.items():
            value = engine.commands[0].value(flag)
            if value is not None:
                lines.append(f"| `{flag}` | {markdown(value)} | {words} |")
        lines.append("")
    return lines[:-1]
