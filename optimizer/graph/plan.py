"""What the graph is built from: engine instances, each with its shape and the GPU of every stage and TP rank.

Instances may differ in shape, formats and hardware, and so may the stages of one. ``place`` makes a plan from a
strategy, or from a placement.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from optimizer.costs.shapes import Shape
from optimizer.facts.hardware import HardwareFacts
from optimizer.facts.problem import Problem
from optimizer.results.answer import Strategy


@dataclass(frozen=True, slots=True)
class LinkPlace:
    """Where a GPU stands: its node and its NVLink domain (GPUs of one domain reach each other over NVLink)."""

    node: str
    domain: str


@dataclass(frozen=True, slots=True)
class StagePlan:
    """One pipeline stage: the GPU type and links it has, and its GPUs by [replica of the instance][TP rank]."""

    hardware: HardwareFacts
    gpus: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class InstancePlan:
    """One engine instance, the unit that fails: d replicas of one shape, coupled by their experts (d = 1: one replica).

    ``problem`` is the one on equal nodes in which the instance, or its first stage, is judged; ``strategy`` that of all
    instances like it.
    """

    name: str
    problem: Problem
    strategy: Strategy
    sequences_in_progress: int
    """n of ``docs/model.md`` at each of its replicas."""
    replicas: tuple[int, ...]
    stages: tuple[StagePlan, ...]
    part_stages: tuple[int, ...] = ()
    """Stages on each of two node groups, first to last; empty: all on one."""

    @property
    def shape(self) -> Shape:
        """The shape of its replicas."""
        return Shape.of(self.strategy, self.part_stages)


@dataclass(frozen=True, slots=True)
class DrawnPlan:
    """All instances, and the place of every GPU they use."""

    name: str
    instances: tuple[InstancePlan, ...]
    places: Mapping[str, LinkPlace]
