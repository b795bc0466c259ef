"""Commands of one vLLM engine instance. Every flag's meaning and source: ``docs/deploy.md``, section 2."""

from __future__ import annotations

import json
from collections.abc import Sequence

from optimizer.deployment.command import HEAD, NODE, RANK, Command, joined
from optimizer.deployment.formats import block_flags, format_flags, refuse_formats
from optimizer.deployment.limits import DRAIN_S
from optimizer.deployment.memory import usable_share
from optimizer.deployment.options import Options
from optimizer.deployment.parts import Launch, LaunchPart
from optimizer.deployment.unlike import refuse_order, unlike
from optimizer.engines.transfer import transfer_of
from optimizer.facts.errors import ProblemError
from optimizer.facts.problem import Problem

PORT_STEP = 1
MASTER_PORT, RPC_PORT = 29501, 29550
SIDE_CHANNEL_PORT = 5600
ROLES = {"prefill": "kv_producer", "decode": "kv_consumer"}
"""What an instance of a pool does with the cache: docs/features/nixl_connector_usage.md of vLLM."""


def commands(problems: Sequence[Problem], launch: Launch, options: Options, port: int) -> tuple[Command, ...]:
    """One command per part, the one that serves requests first.

    Raises:
        ProblemError: this version cannot run the strategy, or cannot spread it over these nodes.
    """
    strategy = launch.instance.strategy
    problem = problems[0]
    _refuse(problems, launch, options)
    refuse_formats(problems, strategy, options)
    common = [
        *("--tensor-parallel-size", str(strategy.tensor_parallel)),
        *("--pipeline-parallel-size", str(strategy.pipeline_parallel)),
        *("--max-num-seqs", str(strategy.max_num_seqs)),
        *("--max-num-batched-tokens", str(problem.search.max_num_batched_tokens)),
        *("--max-model-len", str(problem.max_sequence_tokens)),
        *("--gpu-memory-utilization", f"{usable_share(problems):g}"),
        *format_flags(problem.model, strategy, options),
        *block_flags(problem.model, options),
        *("--shutdown-timeout", str(DRAIN_S)),
    ]
    common += _workload_flags(problem)
    if strategy.expert_parallel > 1:
        common.append("--enable-expert-parallel")
    if strategy.decode_context_parallel > 1:
        common += ["--decode-context-parallel-size", str(strategy.decode_context_parallel)]
    if launch.instance.replicas > 1:
        common += ["--data-parallel-size", str(launch.instance.replicas)]
    environment = {}
    if strategy.pipeline_parallel > 1:
        environment["VLLM_PP_LAYER_PARTITION"] = joined(strategy.layers_per_stage)
    start = ["vllm", "serve", options.model_id]
    serving = ["--served-model-name", options.model_id, "--host", "0.0.0.0", "--port", str(port)]
    found = []
    for number, part in enumerate(launch.parts):
        role = serving if number == 0 else ["--headless"]
        arguments = (*start, *role, *common, *_nodes(launch, number, part, options))
        if number == 0 or options.target != "ray":
            found.append(Command(arguments, environment, part.indices, port, number == 0))
    return tuple(found)


def _workload_flags(problem: Problem) -> list[str]:
    """Prefixes that are kept, and guesses: vLLM's ``--speculative-config`` takes JSON."""
    work, found = problem.workload, []
    if work.prefix is not None:
        found.append("--enable-prefix-caching")
    if work.speculation is not None and work.guessed:
        config: dict[str, str | int] = {
            "method": {"mtp": "mtp", "ngram": "ngram", "draft": "draft_model", "eagle": "eagle3"}[
                work.speculation.method
            ]
        }
        if work.speculation.drafts:
            config["model"] = work.speculation.draft_model or "NAME-OF-THE-DRAFT"
        found += ["--speculative-config", json.dumps(config | {"num_speculative_tokens": work.guessed})]
    return found


def _nodes(launch: Launch, number: int, part: LaunchPart, options: Options) -> list[str]:
    """Flags that join the parts of an instance."""
    if len(launch.parts) == 1:
        return []
    ranks = len(part.indices) // launch.replica_gpus
    several = launch.instance.replicas > 1
    rpc = ["--data-parallel-rpc-port", str(RPC_PORT + launch.slot)] if several else []
    if options.target == "ray":
        flags = ["--distributed-executor-backend", "ray"]
        if several:
            # No --data-parallel-address: Ray knows its nodes by IP address, which is the default.
            flags += ["--data-parallel-backend", "ray", "--data-parallel-size-local", str(ranks), *rpc]
        return flags
    if launch.even:
        nodes = ["--nnodes", str(len(launch.parts)), "--node-rank", RANK]
        return [*nodes, "--master-addr", HEAD, "--master-port", str(MASTER_PORT + launch.slot), *rpc]
    flags = ["--data-parallel-size-local", str(ranks), "--data-parallel-address", HEAD, *rpc]
    if number:
        flags += ["--data-parallel-start-rank", str(part.first // launch.replica_gpus)]
    return flags


def _refuse(problems: Sequence[Problem], launch: Launch, options: Options) -> None:
    problem, strategy, name = problems[0], launch.instance.strategy, options.engine_name
    gpus = strategy.tensor_parallel * launch.instance.replicas
    if strategy.expert_parallel not in (1, gpus):
        raise ProblemError(
            "--ep",
            f"{strategy.expert_parallel} is not possible with {name}: it spreads experts over all TP x DP GPUs of an engine or "
            f"over none; 1 or {gpus} would be right",
        )
    if strategy.max_num_seqs > problem.search.max_num_batched_tokens:
        raise ProblemError(
            "search.max_num_batched_tokens",
            f"{problem.search.max_num_batched_tokens} is below max_num_seqs = {strategy.max_num_seqs}, which {name} refuses",
        )
    if len(launch.parts) == 1:
        return
    sizes = "+".join(str(len(part.indices)) for part in launch.parts)
    if options.target == "ray" and launch.instance.replicas > 1 and not launch.whole_replicas:
        raise ProblemError(
            "--target",
            f"{launch.instance.name} has replicas that span nodes ({sizes} GPUs); use --target shell, not ray",
        )
    refuse_order(problems, launch, options)
    # Ray sorts the nodes after the driver's by id: three unequal ones may come in another order than the placement's.
    if launch.even or launch.whole_replicas or (options.target == "ray" and len(launch.parts) == 2):
        return
    way = "; --target ray can place it" if len(launch.parts) == 2 and launch.instance.replicas == 1 else ""
    raise ProblemError(
        "--target",
        f"{launch.instance.name} spans nodes with {sizes} GPUs each, and {name} needs equal parts (--nnodes) or whole replicas on "
        f"each node{way}; otherwise fix {_even(problems)}",
    )


def _even(problems: Sequence[Problem]) -> str:
    """Which TP x PP would have equal parts."""
    if unlike(problems):
        return "a TP x PP that takes as many GPUs of each node (--tp, --pp)"
    return f"a TP x PP that divides the {problems[0].hardware.gpus_per_node} GPUs of a node or is a multiple of them"


def in_pool(side: str, slot: int, ranks: int, output_tokens: float) -> tuple[tuple[str, ...], dict[str, str]]:
    """``--kv-transfer-config`` and the side channel over which instances find each other's cache.

    Each data-parallel rank listens at the stated port plus its number (``nixl/base_scheduler.py``), on the node that it runs on. What
    requests still write needs no flag: decode instances keep no cache free for it.
    """
    told = {"kv_connector": transfer_of("vllm").connector, "kv_role": ROLES[side]}
    environment = {
        "VLLM_NIXL_SIDE_CHANNEL_HOST": NODE,
        "VLLM_NIXL_SIDE_CHANNEL_PORT": str(bootstrap_port(slot * ranks)),
    }
    return ("--kv-transfer-config", json.dumps(told)), environment


def bootstrap_port(slot: int) -> int:
    """The first port of an instance's side channel. Its router need not know it: the answer of prefill names it to decode."""
    return SIDE_CHANNEL_PORT + slot
