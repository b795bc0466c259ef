"""Commands of one TensorRT-LLM instance (``trtllm-serve``). What every setting means and its source: ``docs/deploy.md``, section 5.

Half of what has to be said has no flag of its own in every release: it stands in a file of settings beside the launch files.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import floor
from pathlib import PurePosixPath
from typing import Any

from optimizer.deployment.command import FOLDER, Command
from optimizer.deployment.formats import cache_word, loading_word, refuse_formats, sixteen_bit
from optimizer.deployment.memory import STEPS, held_by_stage, usable_share
from optimizer.deployment.options import Options
from optimizer.deployment.parts import Launch
from optimizer.engines.engine import DTYPES
from optimizer.facts.errors import ProblemError
from optimizer.facts.problem import Problem
from optimizer.results.answer import Strategy

PORT_STEP = 1
TARGETS = ("shell", "compose", "kubernetes", "systemd", "slurm")


def commands(problems: Sequence[Problem], launch: Launch, options: Options, port: int) -> tuple[Command, ...]:
    """The command of an instance, which stands on one node.

    With attention data parallelism ``--tp_size`` counts the ranks; the limits on requests and tokens are those of one rank.

    Raises:
        ProblemError: this version cannot run the strategy, or nothing is known of how it is started there.
    """
    _refuse(problems[0], launch, options)
    refuse_formats(problems, launch.instance.strategy, options)
    problem, strategy, ranks = problems[0], launch.instance.strategy, launch.instance.replicas
    name = f"trtllm-{launch.instance.pool}.yaml"
    arguments = (
        *("trtllm-serve", options.model_id, "--backend", "pytorch", "--host", "0.0.0.0", "--port", str(port)),
        *("--tp_size", str(strategy.tensor_parallel * ranks), "--pp_size", str(strategy.pipeline_parallel)),
        *(("--ep_size", str(strategy.expert_parallel)) if strategy.expert_parallel > 1 else ()),
        *("--max_batch_size", str(strategy.max_num_seqs)),
        *("--max_num_tokens", str(problem.search.max_num_batched_tokens)),
        *("--max_seq_len", str(problem.max_sequence_tokens)),
        *("--extra_llm_api_options", f"{FOLDER}/{name}"),
    )
    served_as = _folder_name(options.model_id)
    note = f"trtllm-serve calls a checkpoint in a folder by the folder's name: requests ask for the model {served_as}."
    return (
        Command(
            arguments,
            {},
            launch.parts[0].indices,
            port,
            serves=True,
            notes=(note,) if served_as else (),
            settings_file=name,
            settings=_settings(problems, launch, options),
            served_as=served_as,
        ),
    )


def _settings(problems: Sequence[Problem], launch: Launch, options: Options) -> dict[str, Any]:
    problem, strategy = problems[0], launch.instance.strategy
    loading_word(strategy.weight_precision, problem.model, options)
    found: dict[str, Any] = {
        "dtype": DTYPES[sixteen_bit(problem.model, strategy)],
        # Without it a prompt longer than max_num_tokens is refused, where the answer runs it in chunks.
        "enable_chunked_prefill": True,
        "kv_cache_config": {
            "dtype": cache_word(problem.model, strategy, options),
            "enable_block_reuse": problem.workload.prefix is not None,
            "free_gpu_memory_fraction": _cache_share(problems, strategy),
        },
        # Cache taken block by block as sequences grow, or reserved to a request's end: as the answer counts it.
        "scheduler_config": {
            "capacity_scheduler_policy": "MAX_UTILIZATION" if problem.paged else "GUARANTEED_NO_EVICT"
        },
        "cuda_graph_config": {"enable_padding": True, "max_batch_size": strategy.max_num_seqs},
    }
    if launch.instance.replicas > 1:
        found["enable_attention_dp"] = True
    if strategy.pipeline_parallel > 1:
        found["pp_partition"] = list(strategy.layers_per_stage)
    speculation, guessed = problem.workload.speculation, problem.workload.guessed
    if speculation is not None and guessed and speculation.method == "mtp":
        found["speculative_config"] = {"decoding_type": "MTP", "num_nextn_predict_layers": guessed}
    elif speculation is not None and guessed:
        found["speculative_config"] = {"decoding_type": "NGram", "max_draft_len": guessed}
    return found


def _folder_name(model_id: str) -> str:
    """The last part of a path; "" for a name of the hub."""
    path = PurePosixPath(model_id)
    return path.name if path.is_absolute() or model_id.startswith(".") else ""


def _refuse(problem: Problem, launch: Launch, options: Options) -> None:
    strategy, name, work = launch.instance.strategy, options.engine_name, problem.workload
    if options.target not in TARGETS:
        raise ProblemError(
            "--target",
            f"{options.target} is not known for {name}, which starts its processes by MPI; {' or '.join(TARGETS)} would be right",
        )
    if len(launch.parts) > 1:
        raise ProblemError(
            "--target",
            f"{launch.instance.name} spans {len(launch.parts)} nodes, where {name} needs a process a GPU started by the cluster's own MPI "
            "(trtllm-llmapi-launch under srun or mpirun), which is not written here; use --engine vllm or sglang, or fix a TP x PP "
            "within a node",
        )
    if launch.instance.replicas > 1 and strategy.tensor_parallel > 1:
        raise ProblemError(
            "--ep",
            f"{strategy.expert_parallel} over {launch.instance.replicas} replicas of TP {strategy.tensor_parallel} is not possible with "
            f"{name}: replicas that share experts have one GPU a stage (attention data parallelism); TP 1, or EP up to TP, would be "
            "right",
        )
    if work.speculation is not None and work.guessed and work.speculation.drafts:
        raise ProblemError(
            "workload.speculation.method",
            f"{work.speculation.method}: how {name} is told of a draft model differs between its releases and is not guessed; mtp or "
            "ngram would be right",
        )


def _cache_share(problems: Sequence[Problem], strategy: Strategy) -> float:
    """TensorRT-LLM's ``free_gpu_memory_fraction``: of what weights, buffers and a profiling run leave, the cache's share.

    The largest, in thousandths, with which no GPU uses more than gpu_memory_utilization by the answer's count of what lies
    beside the cache.

    Raises:
        ProblemError: nothing is left for the cache under that limit.
    """
    limit, found = Fraction(str(usable_share(problems))), []
    for problem, stage in zip(problems, held_by_stage(problems, strategy), strict=True):
        memory = problem.hardware.gpu.memory_bytes
        beside = sum(stage.values()) - stage["KV cache"]
        found.append((limit * memory - beside) / (memory - beside) if beside < memory else Fraction(0))
    share = floor(min(found) * STEPS)
    if share < 1:
        raise ProblemError(
            "requirements.gpu_memory_utilization",
            f"{float(limit):g} leaves nothing for the KV cache on one of the GPUs",
        )
    return share / STEPS
