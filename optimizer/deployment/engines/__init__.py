"""Who writes the commands of each engine: a module of the engine's name. What it needs of the engine is data of ``engines``."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Protocol, cast

from optimizer.deployment.command import Command
from optimizer.deployment.options import Options
from optimizer.deployment.parts import Launch
from optimizer.facts.problem import Problem


class Commander(Protocol):
    """What such a module has."""

    PORT_STEP: int
    """Ports from one instance of a node to the next: how many a server takes beside its own."""

    def commands(self, problems: Sequence[Problem], launch: Launch, options: Options, port: int) -> tuple[Command, ...]:
        """One command per part of an instance, the one that serves requests first.

        Args:
            problems: the homogeneous problem of each stage.
            port: that the first of them serves at.

        Raises:
            ProblemError: this version cannot run the strategy, or cannot spread it over these nodes.
        """


def commander_of(engine: str) -> Commander:
    """The module of an engine of the registry."""
    return cast(Commander, import_module(f"{__name__}.{engine}"))
