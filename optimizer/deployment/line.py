"""The one line that starts an engine instance of an answer, as people paste it; ``optimizer deploy`` writes everything around it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from optimizer.facts.errors import ProblemError
from optimizer.facts.inventory import InventoryProblem
from optimizer.facts.problem import Problem
from optimizer.results.answer import Answer
from optimizer.results.inventory import InventoryAnswer


@dataclass(frozen=True, slots=True)
class LaunchLine:
    """The serving command of one instance of a shape."""

    command: str
    """For a shell, environment first."""
    port: int
    """Where the instance answers."""
    name: str
    """Of the first instance of the shape."""
    count: int
    """Instances of the shape; ``of`` is how many there are of all shapes."""
    of: int
    further: int
    """Commands of the same instance on its other nodes."""
    settings_file: str | None
    """A file that the command reads, with ``settings`` in it; None: it reads none."""
    settings: Mapping[str, Any]

    @property
    def sentence(self) -> str:
        """As it is printed below an answer."""
        each = "Launch" if self.of == 1 else f"Launch each of {self.count} instances of {self.name}'s shape"
        several = f" (and {self.further} more on the other nodes)" if self.further else ""
        read = f", where {self.settings_file} holds {json.dumps(dict(self.settings))}" if self.settings_file else ""
        return f"{each}{several}: {self.command}{read}"


class NotLaunchedError(Exception):
    """The engine cannot run the strategy as it is; says why."""


def launch_lines(problem: Problem | InventoryProblem, answer: Answer | InventoryAnswer) -> tuple[str, ...]:
    """Sentences with the command of one instance of each shape; empty where there is nothing to launch.

    Where the engine cannot run the strategy as it is, the sentence says why instead of a command.
    """
    try:
        return tuple(line.sentence for line in launches_of(problem, answer))
    except NotLaunchedError as error:
        return (f"Not launched as it is: {error}",)


def launches_of(problem: Problem | InventoryProblem, answer: Answer | InventoryAnswer) -> tuple[LaunchLine, ...]:
    """The command of one instance of each shape; none where there is nothing to launch.

    Raises:
        NotLaunchedError: the engine cannot run the strategy as it is.
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
        raise NotLaunchedError(str(error)) from error
    by_pool: dict[int, int] = {}
    for engine in service.engines:
        by_pool[engine.instance.pool] = by_pool.get(engine.instance.pool, 0) + 1
    found = []
    for engine in service.engines:
        count = by_pool.pop(engine.instance.pool, None)
        if count is None:
            continue
        serving = engine.commands[0]
        words = [f"{name}={shlex.quote(value)}" for name, value in sorted(serving.environment.items())]
        words += [shlex.quote(word) for word in serving.filled(engine.instance.nodes[0], "0")]
        found.append(
            LaunchLine(
                command=" ".join(words),
                port=serving.port,
                name=engine.instance.name,
                count=count,
                of=len(service.engines),
                further=len(engine.commands) - 1,
                settings_file=serving.settings_file or None,
                settings=serving.settings,
            )
        )
    return tuple(found)
