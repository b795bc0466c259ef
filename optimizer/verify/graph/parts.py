"""What the stages of an instance stand on: equal nodes of one group for all of them, or of two groups one after the other.

``docs/inventories.md``, section 2: each part is judged on the homogeneous problem of its own group.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from optimizer.facts.problem import Problem
from optimizer.verify.common.arithmetic import Affine, constant, exact
from optimizer.verify.common.joined import JoinedStages
from optimizer.verify.common.links import network_send
from optimizer.verify.common.places import Ground
from optimizer.verify.common.stage import Stages

DeclaredLink = tuple[str, str, Fraction, Fraction]
"""Kind, GPU of the nodes that have it, 10^9 bytes/s in one direction, ms of a message without bytes."""


@dataclass(frozen=True, slots=True)
class Part:
    """Stages next to each other, the problem they are judged in, and the GPUs they may stand on."""

    problem: Problem
    ground: Ground
    stages: int


class Parts:
    """The parts of an instance, one or two, in order of the stages."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self.parts = tuple(parts)

    @property
    def problem(self) -> Problem:
        """Model, workload and limits, which all parts have in common."""
        return self.parts[0].problem

    @property
    def stages(self) -> int:
        """Stages of all parts."""
        return sum(part.stages for part in self.parts)

    def of(self, stage: int) -> Part:
        """The part of a stage; the last one for a stage that there is not."""
        end = 0
        for part in self.parts:
            end += part.stages
            if stage < end:
                return part
        return self.parts[-1]

    def costs(self) -> Stages:
        """Every stage of a replica on its own part."""
        held = [Stages(part.problem) for part in self.parts]
        return held[0] if len(held) == 1 else JoinedStages(held[0], held[1], self.parts[0].stages)

    def send_ms(self, stage: int, link: str | None, tokens: int) -> float:
        """Hidden state and residual of so many tokens from a stage to the next over a link; nan where they have no such link."""
        hidden = self.problem.model.hidden_size
        here, there = self.of(stage).problem.hardware, self.of(stage + 1).problem.hardware
        if link == "network":
            one, other = network_send(here, hidden), network_send(there, hidden)
            # Between two groups the smaller bandwidth and the larger latency count.
            return float(Affine(max(one.slope, other.slope), max(one.fixed, other.fixed)).at(tokens))
        size = tokens * hidden * 4
        if link == "pcie" and here == there:
            return float(size / (exact(here.pcie_gb_per_s) * 10**6) + constant("pcie_latency_us") / 1000)
        if link == "nvlink" and here == there and here.nvlink_gb_per_s > 0:
            return float(size / (exact(here.nvlink_gb_per_s) / 2 * 10**6))
        return float("nan")

    def links(self) -> set[DeclaredLink]:
        """Every class of link that the instance's nodes have, and that of messages from one group to the other."""
        found: set[DeclaredLink] = set()
        for part in self.parts:
            hardware = part.problem.hardware
            gpu = hardware.gpu.name
            found |= {
                ("pcie", gpu, exact(hardware.pcie_gb_per_s), constant("pcie_latency_us") / 1000),
                _network((part,)),
            }
            if hardware.nvlink_gb_per_s > 0:
                found.add(("nvlink", gpu, exact(hardware.nvlink_gb_per_s) / 2, Fraction(0)))
        return found | {_network(self.parts)}


def _network(parts: Sequence[Part]) -> DeclaredLink:
    hardware = [part.problem.hardware for part in parts]
    slowest = min(exact(one.internode_gbit_per_s) for one in hardware) / 8
    latency_ms = max(exact(one.internode_latency_us) for one in hardware) / 1000
    return "network", " and ".join(dict.fromkeys(one.gpu.name for one in hardware)), slowest, latency_ms
