"""The lines that start one instance of each pool and what routes between them, as people paste them."""

from __future__ import annotations

import shlex
from typing import cast

from optimizer.deployment.chosen import chosen_of_cluster_pools, chosen_of_pools
from optimizer.deployment.options import resolve_options
from optimizer.deployment.pool_router import install, percent, router_words, routings
from optimizer.deployment.service import Engine, Service, build_service
from optimizer.facts.errors import ProblemError
from optimizer.facts.inventory import InventoryProblem
from optimizer.facts.problem import Problem
from optimizer.results.cluster_pools import ClusterPoolsAnswer
from optimizer.results.pools import PoolsAnswer


def pools_launch_lines(
    problem: Problem | InventoryProblem, answer: PoolsAnswer | ClusterPoolsAnswer
) -> tuple[str, ...]:
    """Sentences with the command of one instance of each pool and the router's; the reason where there is none."""
    if answer.strategy is None:
        return ()
    try:
        options = resolve_options(problem.model, problem.engine, "shell")
        if isinstance(problem, InventoryProblem):
            chosen = chosen_of_cluster_pools(problem, cast(ClusterPoolsAnswer, answer))
        else:
            chosen = chosen_of_pools(problem, cast(PoolsAnswer, answer))
        service = build_service(chosen, options, "")
    except (ProblemError, ValueError) as error:
        return (f"Not launched as it is: {error}",)
    said = [_line(service, role) for role in service.roles]
    for one in routings(service):
        words = router_words(service, one, lambda engine: f"{engine.launch.head}:{engine.port}")
        of = f" {percent(one.share)}" if service.dealt else ""
        said.append(f"Route{of}: {' '.join(shlex.quote(word) for word in words)} ({install(service)})")
    return (*said, "optimizer deploy writes the scripts of every node, each instance with GPUs and ports of its own.")


def _line(service: Service, role: str) -> str:
    """The command of the first instance of a pool."""
    engines: list[Engine] = service.of_role(role)
    engine = engines[0]
    command, part = engine.commands[0], engine.launch.parts[0]
    environment = {
        service.platform(engine).visible: ",".join(map(str, command.gpus)),
        **command.environment_on(part.node),
    }
    words = [f"{name}={shlex.quote(value)}" for name, value in environment.items()]
    words += [shlex.quote(word) for word in command.filled(engine.launch.head, "0")]
    several = f" (and {len(engine.commands) - 1} more on the other nodes)" if len(engine.commands) > 1 else ""
    each = "Launch it" if len(engines) == 1 else f"Launch each of {len(engines)}, {engine.instance.name} so"
    return f"{role.capitalize()}. {each}{several}: {' '.join(words)}"
