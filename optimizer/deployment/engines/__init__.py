"""Who writes the commands of each engine: a module of the engine's name. What it needs of the engine is data of ``engines``."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Protocol, cast

from optimizer.deployment.command import Command
from optimizer.deployment.options import Options
from optimizer.deployment.parts import Launch
from optimizer.facts.errors import ProblemError
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


class PoolCommander(Protocol):
    """What the module of an engine has besides, where its instances can be those of prefill and decode pools."""

    def in_pool(self, side: str, slot: int, ranks: int, output_tokens: float) -> tuple[tuple[str, ...], dict[str, str]]:
        """Arguments and environment that make an instance one of a pool.

        Args:
            side: ``prefill`` or ``decode``.
            slot: of the instance among those that meet on a node, for ports of its own.
            ranks: data-parallel ranks of the widest instance of the service, each of which may take a port.
            output_tokens: of a request, on average.
        """

    def bootstrap_port(self, slot: int) -> int:
        """Where decode instances ask a prefill instance for its cache, for a router that has to be told."""


def pool_commander_of(engine: str) -> PoolCommander:
    """The module of an engine whose instances can be those of pools.

    Raises:
        ProblemError: its module says nothing of pools.
    """
    module = import_module(f"{__name__}.{engine}")
    if not hasattr(module, "in_pool"):
        raise ProblemError("engine", f"how {engine} is started as a prefill or decode instance is not known")
    return cast(PoolCommander, module)


def commander_of(engine: str) -> Commander:
    """The module of an engine of the registry."""
    return cast(Commander, import_module(f"{__name__}.{engine}"))
