"""Commands of one SGLang engine instance. Every flag's meaning and source: ``docs/deploy.md``, section 2."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import ceil, floor

from optimizer.deployment.command import HEAD, RANK, Command, joined
from optimizer.deployment.formats import block_flags, format_flags, refuse_formats
from optimizer.deployment.memory import STEPS, held_by_stage, usable_share
from optimizer.deployment.options import Options
from optimizer.deployment.parts import Launch, LaunchPart
from optimizer.deployment.unlike import refuse_order
from optimizer.engines.transfer import transfer_of
from optimizer.facts.errors import ProblemError
from optimizer.facts.hardware import GIB
from optimizer.facts.problem import Problem
from optimizer.results.answer import Strategy

PORT_STEP = 200
"""A server also takes ports from 233 above its own, one per data-parallel rank; neighbours stay clear of them."""
DIST_PORT = 25000
BOOTSTRAP_PORT = 7000
"""Of the first prefill instance of a node; below the service and clear of what servers take above their own ports."""
RESERVED_TOKENS = 512
"""What decode instances keep free of their cache for each request, left alone (``arg_groups/fields/disagg.py``)."""
MEMORY_CHECK = "SGLANG_ENABLE_TP_MEMORY_INBALANCE_CHECK"
BALANCED = 0.95
"""SGLang stops where a GPU of a server has less than 0.9 of another's free memory; what drivers take may make 0.95 of 0.9."""


def commands(problems: Sequence[Problem], launch: Launch, options: Options, port: int) -> tuple[Command, ...]:
    """One command per part, the one that serves requests first.

    With data-parallel attention, ``--tp-size`` counts all GPUs of a stage, and the limits on requests and prompt tokens are
    those of the whole server: SGLang divides them by the ranks.

    Raises:
        ProblemError: this version cannot run the strategy, or cannot spread it over these nodes.
    """
    problem, strategy, ranks = problems[0], launch.instance.strategy, launch.instance.replicas
    _refuse(problems, launch, options)
    refuse_formats(problems, strategy, options)
    share, note = _static_share(problems, strategy)
    arguments = [
        *("python3", "-m", "sglang.launch_server", "--model-path", options.model_id),
        *("--served-model-name", options.model_id, "--host", "0.0.0.0", "--port", str(port)),
        *("--tp-size", str(strategy.tensor_parallel * ranks)),
        *("--pp-size", str(strategy.pipeline_parallel)),
        *("--max-running-requests", str(strategy.max_num_seqs * ranks)),
        *("--chunked-prefill-size", str(problem.search.max_num_batched_tokens * ranks)),
        *("--context-length", str(problem.max_sequence_tokens)),
        *("--mem-fraction-static", share),
        *format_flags(problem.model, strategy, options),
        *block_flags(problem.model, options),
    ]
    arguments += _guesses(problem)
    if options.metrics:
        arguments.append("--enable-metrics")
    if ranks > 1:
        arguments += ["--attn-dp-size", str(ranks)]
    if strategy.expert_parallel > 1:
        arguments += ["--ep-size", str(strategy.expert_parallel)]
    if strategy.decode_context_parallel > 1:
        arguments += ["--dcp-size", str(strategy.decode_context_parallel)]
    environment = {}
    if strategy.pipeline_parallel > 1:
        environment["SGLANG_PP_LAYER_PARTITION"] = joined(strategy.layers_per_stage)
    memory = [one.hardware.gpu.memory_bytes for one in problems]
    said = [note] if note else []
    if strategy.tensor_parallel * ranks > 1 and min(memory) < BALANCED * max(memory):
        environment[MEMORY_CHECK] = "0"
        said.append(
            f"The GPUs of {launch.instance.name} differ in memory, which SGLang would take for GPUs that something else uses, "
            f"and stop; {MEMORY_CHECK}=0 switches that check off."
        )
    found = []
    for number, part in enumerate(launch.parts):
        nodes = _nodes(launch, options)
        gpus = _rank_order(launch, part)
        notes = tuple(said) if number == 0 else ()
        if number == 0 or options.target != "ray":
            found.append(Command((*arguments, *nodes), environment, gpus, port, number == 0, notes))
    return tuple(found)


def _guesses(problem: Problem) -> list[str]:
    """Speculation; the radix cache, which keeps prefixes, is on by itself."""
    speculation, k = problem.workload.speculation, problem.workload.guessed
    if speculation is None or not k:
        return []
    if speculation.method == "ngram":
        return ["--speculative-algorithm", "NGRAM", "--speculative-num-draft-tokens", str(k + 1)]
    steps = [
        "--speculative-num-steps",
        str(k),
        "--speculative-eagle-topk",
        "1",
        "--speculative-num-draft-tokens",
        str(k + 1),
    ]
    if speculation.method == "mtp":
        return ["--speculative-algorithm", "NEXTN", *steps]
    draft = speculation.draft_model or "NAME-OF-THE-DRAFT"
    algorithm = "EAGLE3" if speculation.method == "eagle" else "STANDALONE"
    return ["--speculative-algorithm", algorithm, "--speculative-draft-model-path", draft, *steps]


def _nodes(launch: Launch, options: Options) -> list[str]:
    count = len(launch.parts)
    if count == 1:
        return []
    if options.target == "ray":
        return ["--use-ray", "--nnodes", str(count)]
    address = f"{HEAD}:{DIST_PORT + PORT_STEP * launch.slot}"
    return ["--nnodes", str(count), "--node-rank", RANK, "--dist-init-addr", address]


def _rank_order(launch: Launch, part: LaunchPart) -> tuple[int, ...]:
    """GPU indices in SGLang's order: all replicas of a stage before the next stage, where ours has replicas outermost."""
    strategy, ranks = launch.instance.strategy, launch.instance.replicas
    if ranks == 1 or strategy.pipeline_parallel == 1:
        return part.indices
    t, stages = strategy.tensor_parallel, strategy.pipeline_parallel
    return tuple(
        part.indices[(replica * stages + stage) * t + rank]
        for stage in range(stages)
        for replica in range(ranks)
        for rank in range(t)
    )


def _refuse(problems: Sequence[Problem], launch: Launch, options: Options) -> None:
    strategy, ranks, name = launch.instance.strategy, launch.instance.replicas, options.engine_name
    stage = strategy.tensor_parallel * ranks
    if stage % strategy.expert_parallel:
        raise ProblemError(
            "--ep", f"{strategy.expert_parallel} does not divide the {stage} GPUs of a stage, which {name} asks for"
        )
    count = len(launch.parts)
    if count == 1:
        return
    sizes = "+".join(str(len(part.indices)) for part in launch.parts)
    pp = strategy.pipeline_parallel
    equal = len({len(part.indices) for part in launch.parts}) == 1
    whole = pp % count == 0 or (count % pp == 0 and stage % (count // pp) == 0)
    if not equal or not whole:
        raise ProblemError(
            "--target",
            f"{launch.instance.name} spans {count} nodes with {sizes} GPUs, and {name} needs equal parts that hold whole stages or "
            f"divide one; fix a TP x PP that does{_elsewhere(launch)}",
        )
    refuse_order(problems, launch, options)
    if ranks > 1 and pp > 1:
        raise ProblemError(
            "--target",
            f"{launch.instance.name} has {ranks} replicas of {pp} stages over {count} nodes; {name} would put stages, not replicas, on "
            "the nodes, which is not the placement that was judged; use --engine vllm or PP 1",
        )


def _elsewhere(launch: Launch) -> str:
    """The engine and target that take the parts as they are, if any do."""
    if launch.even or launch.whole_replicas:
        return ", or use --engine vllm"
    if len(launch.parts) == 2 and launch.instance.replicas == 1:
        return ", or use --engine vllm --target ray"
    return ""


def in_pool(side: str, slot: int, ranks: int, output_tokens: float) -> tuple[tuple[str, ...], dict[str, str]]:
    """``--disaggregation-mode``: docs/advanced_features/pd_disaggregation.md of SGLang. Decode instances listen at no port for it.

    They keep cache free for each request in progress beside what it holds (``disaggregation/decode.py``): what it still writes on average,
    where that is less than their default. More would keep requests out that the answer lets in.
    """
    backend = transfer_of("sglang").connector
    words: tuple[str, ...] = ("--disaggregation-mode", side, "--disaggregation-transfer-backend", backend)
    if side == "prefill":
        words += ("--disaggregation-bootstrap-port", str(bootstrap_port(slot)))
    else:
        words += ("--num-reserved-decode-tokens", str(min(RESERVED_TOKENS, ceil(output_tokens / 2))))
    return words, {}


def bootstrap_port(slot: int) -> int:
    """Where a prefill instance tells decode instances how to reach its cache."""
    return BOOTSTRAP_PORT + slot


def _static_share(problems: Sequence[Problem], strategy: Strategy) -> tuple[str, str | None]:
    """The share of the GPUs' memory for weights and KV cache, and a sentence where it cannot keep everything the answer promises.

    SGLang gives the cache of every stage the same memory: what the GPU with the least free memory has left after loading,
    less ``1 - share`` of the smallest GPU. All stages then hold as many tokens as the one with the largest cache per token. The
    share is the largest, in thousandths, with which no GPU uses more than gpu_memory_utilization; where that would not hold
    what has to be held (one sequence of the longest length; without paging max_num_seqs of them), the smallest that does.

    Args:
        problems: the homogeneous problem of each stage.

    Raises:
        ProblemError: every stage fits its GPU, yet no share leaves each the cache that it needs.
    """
    limit, stages = usable_share(problems), held_by_stage(problems, strategy)
    total = [problem.hardware.gpu.memory_bytes for problem in problems]
    cache = [stage["KV cache"] for stage in stages]
    smallest, needed = min(total), max(cache)
    free = min(memory - stage["weights"] for memory, stage in zip(total, stages, strict=True))
    # What a stage leaves under the limit, as memory of the stage with the largest cache.
    room = min(
        (Fraction(str(limit)) * memory - sum(stage.values()) + held) * needed / held
        for memory, stage, held in zip(total, stages, cache, strict=True)
        if held
    )
    most = floor((1 - (free - room) / smallest) * STEPS)
    least = ceil((1 - Fraction(free - needed, smallest)) * STEPS)
    fits = all(sum(stage.values()) <= memory for memory, stage in zip(total, stages, strict=True))
    if least >= STEPS and fits:
        raise ProblemError(
            "--engine",
            f"sglang gives every stage the same memory for its KV cache, at most the {free / GIB:.2f} GiB that the GPU with the least free "
            f"memory has left after loading, and stage {cache.index(needed)} needs {needed / GIB:.2f} GiB; use --engine vllm, "
            "or fix other --layers",
        )
    share = min(max(most, least), STEPS - 1)
    if most >= least:
        return f"{share / STEPS:g}", None
    return f"{share / STEPS:g}", (
        f"Weights and KV cache of the stages need {least / STEPS:g} of the GPU's memory; with that share, GPUs may use "
        f"more than gpu_memory_utilization = {limit:g} allows."
    )
