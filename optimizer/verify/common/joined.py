"""The stages of a replica whose first ones stand on one kind of node and whose others stand on another.

``docs/inventories.md``, section 2: pipelines over two groups.

Other home: ``costs/two_groups.py``; docs/inventories.md, section 2.
"""

from __future__ import annotations

from optimizer.facts.hardware import HardwareFacts
from optimizer.verify.common.arithmetic import Affine
from optimizer.verify.common.beside import sequences_sampled
from optimizer.verify.common.groups import Group, ReplicaShape
from optimizer.verify.common.links import network_send, sends
from optimizer.verify.common.stage import Stage, Stages


class JoinedStages(Stages):
    """The first ``cut`` stages of a replica from one homogeneous problem, the others from another.

    Which layers a stage holds, and whether it is first or last, is decided by its position in the whole replica.
    """

    def __init__(self, first: Stages, second: Stages, cut: int) -> None:
        super().__init__(first.problem)
        self._first, self._second, self._cut = first, second, cut
        limit = sequences_sampled(first.problem)
        if sequences_sampled(second.problem) != limit:  # an engine has one limit on sequences: that of its first part
            self._second = Stages(second.problem, sampled=limit)
        self._sends: dict[tuple[int, int], Affine] = {}

    def of(self, group: Group, layers: tuple[int, ...]) -> tuple[Stage, ...]:
        """The stages of a replica, first to last."""
        kinds = self._first.kinds(layers)
        ahead = tuple(self._first.stage(group, kind) for kind in kinds[: self._cut])
        return (*ahead, *(self._second.stage(group, kind) for kind in kinds[self._cut :]))

    def hardware(self, shape: ReplicaShape) -> tuple[HardwareFacts, ...]:
        """What each stage of a replica stands on."""
        ahead = (self._first.problem.hardware,) * self._cut
        return (*ahead, *(self._second.problem.hardware,) * (shape.stages - self._cut))

    def sends(self, shape: ReplicaShape) -> Affine:
        """Milliseconds of all stage-to-stage sends of one replica together, for m tokens: those in each part, and one between."""
        key = shape.group.tensor, shape.stages
        if key not in self._sends:
            self._sends[key] = self._sends_of(*key)
        return self._sends[key]

    def _sends_of(self, t: int, stages: int) -> Affine:
        hidden, ahead, behind = (
            self.problem.model.hidden_size,
            self._first.problem.hardware,
            self._second.problem.hardware,
        )
        total = sends(ahead, t, self._cut, hidden).plus(sends(behind, t, stages - self._cut, hidden))
        one, other = network_send(ahead, hidden), network_send(behind, hidden)
        return total.plus(Affine(max(one.slope, other.slope), max(one.fixed, other.fixed)))


def split_of(layers: int, ahead: int, stages: tuple[int, int]) -> tuple[int, ...] | None:
    """Layers of each stage when the first part has ``ahead`` of them; None where that is no split of section 2."""
    shares = tuple(zip((ahead, layers - ahead), stages, strict=True))
    if any(held < count for held, count in shares) or all(held % count for held, count in shares):
        return None
    found: list[int] = []
    for held, count in shares:
        each, over = divmod(held, count)
        found += [each + (position < over) for position in range(count)]
    return tuple(found)
