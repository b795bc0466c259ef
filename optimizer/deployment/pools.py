"""The lines that start one instance of each pool and what routes between them, as people paste them.

vLLM: docs/features/nixl_connector_usage.md (``--kv-transfer-config``, ``VLLM_NIXL_SIDE_CHANNEL_HOST`` and ``_PORT``, the proxy of its
tests). SGLang: docs/advanced_features/pd_disaggregation.md (``--disaggregation-mode``, ``sglang_router``).
"""

from __future__ import annotations

import json
import shlex

from optimizer.deployment.chosen import Chosen
from optimizer.deployment.options import resolve_options
from optimizer.deployment.service import build_service
from optimizer.engines.flags import engine_flags
from optimizer.engines.transfer import transfer_of
from optimizer.facts.errors import ProblemError
from optimizer.facts.problem import Problem
from optimizer.results.answer import Strategy
from optimizer.results.placement import place_evenly
from optimizer.results.pools import PoolsAnswer, PoolStrategy

SIDE_CHANNEL_PORT = 5600
ROLES = {"prefill": "kv_producer", "decode": "kv_consumer"}


def pools_launch_lines(problem: Problem, answer: PoolsAnswer) -> tuple[str, ...]:
    """Sentences with the command of one instance of each pool and the router's; the reason where there is none."""
    if answer.strategy is None:
        return ()
    said = []
    try:
        for side in ("prefill", "decode"):
            pool: PoolStrategy = getattr(answer.strategy, side)
            command = _command(problem, pool, side)
            each = "Launch it" if pool.instances == 1 else f"Launch each of {pool.instances}"
            said.append(f"{side.capitalize()}. {each}: {command}")
    except (ProblemError, ValueError) as error:
        return (f"Not launched as it is: {error}",)
    apart = "Instances that share a node need GPUs (CUDA_VISIBLE_DEVICES), a port and a side channel's or bootstrap's port of their own."
    whole = all(
        one.instance_gpus >= problem.hardware.gpus_per_node for one in (answer.strategy.prefill, answer.strategy.decode)
    )
    return (*said, f"Route: {_router(problem, answer)}", *(() if whole else (apart,)))


def _command(problem: Problem, pool: PoolStrategy, side: str) -> str:
    """The command of one instance, with what makes it one of a pool."""
    strategy = Strategy(
        tensor_parallel=pool.tensor_parallel,
        pipeline_parallel=1,
        data_parallel=pool.engine_ranks,
        expert_parallel=pool.expert_parallel,
        max_num_seqs=pool.max_num_seqs,
        layers_per_stage=(problem.model.layers,),
        weight_precision=pool.weight_precision,
        kv_precision=pool.kv_precision,
    )
    length = {"max_sequence_tokens": problem.max_sequence_tokens}
    served = problem.model_copy(
        update={"serving": "joint", "requirements": problem.requirements.model_copy(update=length)}
    )
    options = resolve_options(served.model, served.engine, "shell")
    chosen = Chosen(served.name, pool.label, ((served,),), place_evenly(served, strategy), 0, "", ())
    service = build_service(chosen, options, "")
    commands = service.engines[0].commands
    if len(commands) > 1:
        raise ValueError(f"a {side} instance spans nodes, whose commands optimizer does not write for pools yet")
    command = commands[0]
    if command.settings_file:
        raise ValueError(f"a {side} instance is started from a file, which optimizer does not write for pools yet")
    environment = dict(command.environment)
    words = list(command.filled(service.engines[0].instance.nodes[0], "0"))
    more: dict[str, str] = {}
    if problem.engine == "vllm":
        environment |= {"VLLM_NIXL_SIDE_CHANNEL_HOST": "$HOST", "VLLM_NIXL_SIDE_CHANNEL_PORT": str(SIDE_CHANNEL_PORT)}
        told = {"kv_connector": transfer_of("vllm").connector, "kv_role": ROLES[side]}
        more["--kv-transfer-config"] = json.dumps(told)
    else:
        more["--disaggregation-mode"] = side
        more["--disaggregation-transfer-backend"] = transfer_of(problem.engine).connector
    known = engine_flags(options.engine, options.assumed or options.version)
    added = tuple(word for pair in more.items() for word in pair)
    known.refuse_unknown(added, ())
    words += added
    before = [
        f"{name}={value if value.startswith('$') else shlex.quote(value)}"
        for name, value in sorted(environment.items())
    ]
    return " ".join([*before, *(shlex.quote(word) for word in words)])


def _router(problem: Problem, answer: PoolsAnswer) -> str:
    """What sends each request to a prefill and then to a decode instance."""
    assert answer.strategy is not None
    counts = {side: getattr(answer.strategy, side).instances for side in ("prefill", "decode")}
    hosts = {side: [f"$P{i}" if side == "prefill" else f"$D{i}" for i in range(1, n + 1)] for side, n in counts.items()}
    if problem.engine == "vllm":
        words = ["python tests/v1/kv_connector/nixl_integration/toy_proxy_server.py --port 8192"]
        for side, name in (("prefill", "prefiller"), ("decode", "decoder")):
            words.append(f"--{name}-hosts {' '.join(hosts[side])} --{name}-ports {' '.join(['8000'] * counts[side])}")
        return " ".join(words) + " (of vLLM's repository; $P1, $D1 … are the instances' hosts)"
    words = ["python -m sglang_router.launch_router --pd-disaggregation"]
    words += [f"--{side} http://{host}:8000" for side in ("prefill", "decode") for host in hosts[side]]
    return " ".join(words) + " --host 0.0.0.0 --port 8192 ($P1, $D1 … are the instances' hosts)"
