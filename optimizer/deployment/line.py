"""The one line that starts an engine instance of an answer, as people paste it; ``optimizer deploy`` writes everything around it."""

from __future__ import annotations

import json
import shlex

from optimizer.facts.errors import ProblemError
from optimizer.facts.inventory import InventoryProblem
from optimizer.facts.problem import Problem
from optimizer.results.answer import Answer
from optimizer.results.inventory import InventoryAnswer


def launch_lines(problem: Problem | InventoryProblem, answer: Answer | InventoryAnswer) -> tuple[str, ...]:
    """Sentences with the command of one instance of each shape; empty where there is nothing to launch.

    Where the engine cannot run the strategy as it is, the sentence says why instead of a command.
    """
    from optimizer.deployment.chosen import chosen_of, chosen_of_inventory
    from optimizer.deployment.options import resolve_options
    from optimizer.deployment.service import build_service

    try:
        options = resolve_options(problem.model, problem.engine, "shell")
        if isinstance(problem, Problem):
            if not isinstance(answer, Answer) or answer.strategy is None:
                return ()
            chosen = chosen_of(problem, answer)
        else:
            if not isinstance(answer, InventoryAnswer) or answer.placement is None:
                return ()
            chosen = chosen_of_inventory(problem, answer, False)
        service = build_service(chosen, options, "")
    except (ProblemError, ValueError) as error:
        return (f"Not launched as it is: {error}",)
    by_pool: dict[int, int] = {}
    for engine in service.engines:
        by_pool[engine.instance.pool] = by_pool.get(engine.instance.pool, 0) + 1
    said = []
    for engine in service.engines:
        count = by_pool.pop(engine.instance.pool, None)
        if count is None:
            continue
        command = engine.commands[0]
        words = [f"{name}={shlex.quote(value)}" for name, value in sorted(command.environment.items())]
        words += [shlex.quote(word) for word in command.filled(engine.instance.nodes[0], "0")]
        each = (
            "Launch"
            if len(service.engines) == 1
            else f"Launch each of {count} instances of {engine.instance.name}'s shape"
        )
        several = f" (and {len(engine.commands) - 1} more on the other nodes)" if len(engine.commands) > 1 else ""
        read = (
            f", where {command.settings_file} holds {json.dumps(dict(command.settings))}"
            if command.settings_file
            else ""
        )
        said.append(f"{each}{several}: {' '.join(words)}{read}")
    return tuple(said)
