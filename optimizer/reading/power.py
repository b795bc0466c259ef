"""From power limits in a file to what may work: the GPUs of a node that its limit lets work, and what has to be known for that.

A GPU in use counts its board power, the most that it may draw; any other its idle power. ``docs/model.md``, section 7.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction

from optimizer.facts.errors import ProblemError, closest
from optimizer.facts.hardware import GpuFacts
from optimizer.facts.inventory import TOTAL, Domain, NodeGroup, PowerLimit


def with_idle(gpu: GpuFacts, idle_watts: float | None) -> GpuFacts:
    """The GPU with the idle power that a person states for it, where one is stated."""
    return gpu if idle_watts is None else gpu.model_copy(update={"idle_watts": idle_watts})


def known_watts(gpu: GpuFacts, field: str) -> tuple[float, float]:
    """Watts of a GPU in use and of one that is not.

    Args:
        field: of the hardware or group, for messages.

    Raises:
        ProblemError: either is not known, or the second is above the first.
    """
    if gpu.tdp_watts is None:
        raise ProblemError(
            f"{field}.gpu", f"the board power of {gpu.name} is not known; state its facts with tdp_watts"
        )
    if gpu.idle_watts is None:
        raise ProblemError(f"{field}.idle_watts", f"is not known for {gpu.name}; where power is limited, state it")
    if gpu.idle_watts > gpu.tdp_watts:
        said = f"{gpu.idle_watts:g} W are more than the {gpu.tdp_watts:g} W that {gpu.name} draws in use"
        raise ProblemError(f"{field}.idle_watts", said)
    return gpu.tdp_watts, gpu.idle_watts


def working_gpus(
    gpu: GpuFacts, built_in: int, limit_watts: float | None, host_watts: float, field: str, *, held: int = 0
) -> int:
    """GPUs of a node that may work at once within its power limit: all, where none is stated.

    At least 1, so that where not even one may work the rule ``power_node`` breaks and says so.

    Args:
        built_in: GPUs of the node that may be used.
        field: of the hardware or group, for messages.
        held: GPUs of the node beside them, which others use.

    Raises:
        ProblemError: what the GPUs draw is not known.
    """
    if limit_watts is None:
        return built_in
    load, idle = (Fraction(repr(float(watts))) for watts in known_watts(gpu, field))
    spare = Fraction(repr(float(limit_watts))) - Fraction(repr(float(host_watts))) - held * load - built_in * idle
    if load == idle:
        return built_in if spare >= 0 else 1
    return min(built_in, max(1, math.floor(spare / (load - idle))))


def power_limits(
    stated: Mapping[str, float | Mapping[str, float]], groups: Sequence[NodeGroup], domains: Sequence[Domain]
) -> tuple[PowerLimit, ...]:
    """The limits of ``power_limits_watts``, each with the groups that it counts.

    Raises:
        ProblemError: a level or a name is not there, or what its GPUs draw is not known.
    """
    known: dict[str, dict[str, tuple[str, ...]]] = {TOTAL: {TOTAL: tuple(group.name for group in groups)}}
    for level in ("rack", "zone"):
        for group in groups:
            name = getattr(group, level)
            if name is not None:
                found = known.setdefault(level, {})
                found[name] = (*found.get(name, ()), group.name)
    for domain in domains:
        known.setdefault(domain.level, {})[domain.name] = domain.groups
    limits = []
    for level, watts in stated.items():
        field = f"power_limits_watts.{level}"
        if level == "node":
            raise ProblemError(field, "is stated by node_power_limit_watts of each group")
        if level not in known:
            why = "; groups of racks: have no rack of a name, so split them" if level == "rack" else ""
            raise ProblemError(field, f"the inventory has no such level; {closest(level, known)}{why}")
        if isinstance(watts, Mapping) == (level == TOTAL):
            raise ProblemError(
                field, "is one figure" if level == TOTAL else f"states names: {{{next(iter(known[level]))}: …}}"
            )
        named = watts if isinstance(watts, Mapping) else {TOTAL: watts}
        for name, most in named.items():
            if name not in known[level]:
                raise ProblemError(f"{field}.{name}", f"is not there; {closest(name, known[level])}")
            limits.append(PowerLimit(level=level, name=name, groups=known[level][name], watts=most))
    for limit in limits:
        for number, group in enumerate(groups):
            if group.name in limit.groups:
                known_watts(group.gpu, f"cluster.{number}")
    return tuple(limits)
