"""The lines that start one instance of each pool and what routes between them, as people paste them.

What makes an instance one of a pool, and which router there is, is said by the engine's module of ``deployment.engines``.
"""

from __future__ import annotations

import shlex

from optimizer.deployment.chosen import Chosen
from optimizer.deployment.engines import pool_commander_of
from optimizer.deployment.options import resolve_options
from optimizer.deployment.service import build_service
from optimizer.engines.flags import engine_flags
from optimizer.facts.errors import ProblemError
from optimizer.facts.problem import Problem
from optimizer.results.answer import Strategy
from optimizer.results.placement import place_evenly
from optimizer.results.pools import PoolsAnswer, PoolStrategy


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
    added, more = pool_commander_of(problem.engine).in_pool(side)
    known = engine_flags(options.engine, options.assumed or options.version)
    known.refuse_unknown(added, ())
    words += added
    environment |= more
    before = [
        f"{name}={value if value.startswith('$') else shlex.quote(value)}"
        for name, value in sorted(environment.items())
    ]
    return " ".join([*before, *(shlex.quote(word) for word in words)])


def _router(problem: Problem, answer: PoolsAnswer) -> str:
    """What sends each request to a prefill and then to a decode instance."""
    assert answer.strategy is not None
    counts = {side: getattr(answer.strategy, side).instances for side in ("prefill", "decode")}
    hosts = {side: [f"${side[0].upper()}{i}" for i in range(1, n + 1)] for side, n in counts.items()}
    return pool_commander_of(problem.engine).pool_router(hosts["prefill"], hosts["decode"])
