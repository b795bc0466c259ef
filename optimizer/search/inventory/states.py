"""The steady-state distribution of the instances that are down, by pool. ``docs/inventories.md``, section 5.

Parts fail independently, so nodes of one rack are independent once the rack is up, racks once what is above them is up.
A distribution is a list of vectors (instances down of each pool) with their probabilities; independent ones are convolved, equal ones by
repeated squaring. States rarer than ``RAREST`` in the end are lumped; on the way, where states of several parts still add up,
only what is rarer than ``RAREST_PART``.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import product

import numpy as np

from optimizer.costs.shapes import Floats, Ints

RAREST = 1e-12
RAREST_PART = 1e-17
MOST_SUBSETS = 1 << 14


class TooManyStatesError(Exception):
    """The failure states of a placed plan cannot be told apart: too many parts fail together."""


@dataclass(frozen=True, slots=True)
class Spread:
    """States (N, pools) with probabilities (N,); ``lumped`` is what was too rare to be kept."""

    down: Ints
    probability: Floats
    lumped: float = 0.0

    def times(self, other: Spread) -> Spread:
        """Both together, independent."""
        down = (self.down[:, None, :] + other.down[None, :, :]).reshape(-1, self.down.shape[1])
        probability = (self.probability[:, None] * other.probability[None, :]).ravel()
        return _merged(down, probability, 1.0 - (1.0 - self.lumped) * (1.0 - other.lumped))

    def power(self, exponent: int) -> Spread:
        """So many of it together, independent."""
        result, base = certain(self.down.shape[1]), self
        while exponent:
            if exponent & 1:
                result = result.times(base)
            exponent >>= 1
            if exponent:
                base = base.times(base)
        return result

    def mixed(self, other: Spread, weight: float) -> Spread:
        """This with probability 1 − weight, the other with probability weight."""
        return _merged(
            np.concatenate([self.down, other.down]),
            np.concatenate([self.probability * (1 - weight), other.probability * weight]),
            self.lumped * (1 - weight) + other.lumped * weight,
        )

    def scaled(self, weight: float) -> Spread:
        """All of it with a probability of its own."""
        return Spread(self.down, self.probability * weight, self.lumped * weight)

    def plus(self, other: Spread) -> Spread:
        """Either of two that exclude each other."""
        return _merged(
            np.concatenate([self.down, other.down]),
            np.concatenate([self.probability, other.probability]),
            self.lumped + other.lumped,
        )


def certain(pools: int, down: Ints | None = None) -> Spread:
    """One state for sure: nothing down, or the given vector."""
    vector = np.zeros(pools, dtype=np.int64) if down is None else down
    return Spread(vector[None, :], np.ones(1))


def _merged(down: Ints, probability: Floats, lumped: float) -> Spread:
    """Equal states added up, rare ones lumped."""
    order = np.lexsort(down.T[::-1])
    down, probability = down[order], probability[order]
    first = np.ones(len(down), dtype=np.bool_)
    first[1:] = (down[1:] != down[:-1]).any(axis=1)
    sums = np.add.reduceat(probability, np.flatnonzero(first))
    down = down[first]
    common = sums >= RAREST_PART
    return Spread(down[common], sums[common], lumped + float(sums[~common].sum()))


@dataclass(frozen=True, slots=True)
class Standing:
    """One instance on its nodes: its pool, its GPUs on each node (node number → GPUs)."""

    pool: int
    gpus: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Unavailable:
    """Share of time one part of each kind is down."""

    gpu: float
    nodes: tuple[float, ...]
    """Of a node of each kind: those of some groups are taken away at times too."""
    rack: float
    zone: float
    stated: float
    """Domains of a level of the problem file's own."""

    def of(self, level: str) -> float:
        """The share of a zone, or of a domain of any stated level."""
        return self.zone if level == "zone" else self.stated


@dataclass(frozen=True, slots=True)
class Site:
    """Where everything stands, for the distribution: instances with the rack and the wide domains of their nodes."""

    pools: int
    instances: list[Standing]
    rack_of_node: dict[int, str | None]
    wide_of_node: dict[int, tuple[tuple[str, str], ...]]
    """(level, name) of zones and stated domains a node belongs to, by node number."""
    kind_of_node: dict[int, int]
    """Position of its kind in ``Unavailable.nodes``, by node number."""

    def spread(self, unavailable: Unavailable) -> Spread:
        """The distribution of instances down.

        Raises:
            TooManyStatesError: too many parts fail together for their states to be told apart.
        """
        components = self._components()
        fallible = sorted(
            {wide for c in components for one in c.held for wide in one.wide if unavailable.of(wide[0]) > 0}
        )
        if 1 << len(fallible) > MOST_SUBSETS:
            raise TooManyStatesError("too many zones and domains that fail by themselves")
        total: Spread | None = None
        for states in product((False, True), repeat=len(fallible)):
            lost = {wide for wide, down in zip(fallible, states, strict=True) if down}
            shares = [unavailable.of(wide[0]) for wide in fallible]
            weight = float(np.prod([u if down else 1 - u for u, down in zip(shares, states, strict=True)]))
            here = self._given(components, lost, unavailable).scaled(weight)
            total = here if total is None else total.plus(here)
        if total is None:
            return certain(self.pools)
        common = total.probability >= RAREST
        lumped = total.lumped + float(total.probability[~common].sum())
        return Spread(total.down[common], total.probability[common], lumped)

    def _given(self, components: list[_Component], lost: set[tuple[str, str]], unavailable: Unavailable) -> Spread:
        """The distribution when exactly the given wide domains are down."""
        racks: dict[tuple[str | None, int], Counter[_Component]] = {}
        for number, component in enumerate(components):
            # Components without a rack stand each for themselves.
            key = (component.rack, -1 if component.rack is not None else number)
            racks.setdefault(key, Counter())[component] += 1
        alike: Counter[tuple[bool, frozenset[tuple[_Component, int]]]] = Counter()
        for (rack, _), contents in racks.items():
            alike[(rack is not None, frozenset(contents.items()))] += 1
        result = certain(self.pools)
        cache: dict[_Component, Spread] = {}
        for (has_rack, contents_of), count in sorted(alike.items(), key=lambda item: repr(item[0])):
            up = certain(self.pools)
            gone = np.zeros(self.pools, dtype=np.int64)
            for component, times in sorted(contents_of, key=repr):
                if component not in cache:
                    cache[component] = self._component(component, lost, unavailable)
                up = up.times(cache[component].power(times))
                gone += np.bincount([one.pool for one in component.held], minlength=self.pools) * times
            rack_down = unavailable.rack if has_rack else 0.0
            one = up.mixed(certain(self.pools, gone), rack_down) if rack_down else up
            result = result.times(one.power(count))
        return result

    def _component(self, component: _Component, lost: set[tuple[str, str]], unavailable: Unavailable) -> Spread:
        """Nodes joined by instances that span them, and everything on them."""
        nodes, gpu = unavailable.nodes, unavailable.gpu
        if 1 << len(component.shared) > MOST_SUBSETS:
            raise TooManyStatesError("instances chain too many nodes together to tell their states apart")
        result: Spread | None = None
        for states in product((False, True), repeat=len(component.shared)):
            shares = [(nodes[kind], down) for kind, down in zip(component.shared, states, strict=True)]
            weight = float(np.prod([node if down else 1 - node for node, down in shares]))
            gone = np.zeros(self.pools, dtype=np.int64)
            alive: Counter[tuple[int, int, tuple[int, ...]]] = Counter()
            for one in component.held:
                if any(wide in lost for wide in one.wide) or any(states[number] for number in one.on_shared):
                    gone[one.pool] += 1
                else:
                    alive[(one.pool, one.gpus, one.alone)] += 1
            here = certain(self.pools, gone)
            for (pool, gpus, alone), count in sorted(alive.items()):
                down = np.zeros(self.pools, dtype=np.int64)
                down[pool] = 1
                up = (1 - gpu) ** gpus * float(np.prod([1 - nodes[kind] for kind in alone]))
                single = Spread(np.stack([np.zeros_like(down), down]), np.array([up, 1 - up]))
                here = here.times(single.power(count))
            result = here.scaled(weight) if result is None else result.plus(here.scaled(weight))
        return result if result is not None else certain(self.pools)

    def _components(self) -> list[_Component]:
        """Sets of nodes that share instances; most are one node."""
        owner: dict[int, int] = {}

        def root(node: int) -> int:
            while owner.setdefault(node, node) != node:
                node = owner[node]
            return node

        for instance in self.instances:
            first = root(instance.gpus[0][0])
            for node, _ in instance.gpus[1:]:
                owner[root(node)] = first
        members: dict[int, list[Standing]] = {}
        for instance in self.instances:
            members.setdefault(root(instance.gpus[0][0]), []).append(instance)
        return [self._signature(instances) for _, instances in sorted(members.items())]

    def _signature(self, instances: list[Standing]) -> _Component:
        users = Counter(node for instance in instances for node, _ in instance.gpus)
        shared = sorted(node for node, count in users.items() if count > 1)
        number = {node: position for position, node in enumerate(shared)}
        held = sorted(
            (
                _Held(
                    pool=one.pool,
                    gpus=sum(gpus for _, gpus in one.gpus),
                    alone=tuple(sorted(self.kind_of_node[node] for node, _ in one.gpus if node not in number)),
                    on_shared=tuple(number[node] for node, _ in one.gpus if node in number),
                    wide=tuple(sorted({wide for node, _ in one.gpus for wide in self.wide_of_node.get(node, ())})),
                )
                for one in instances
            ),
            key=_Held.order,
        )
        of_kinds = tuple(self.kind_of_node[node] for node in shared)
        return _Component(self.rack_of_node.get(instances[0].gpus[0][0]), of_kinds, tuple(held))


@dataclass(frozen=True, slots=True)
class _Held:
    """One instance: of nodes that it has to itself the kinds are kept, those it shares with others are numbered."""

    pool: int
    gpus: int
    alone: tuple[int, ...]
    on_shared: tuple[int, ...]
    wide: tuple[tuple[str, str], ...]

    def order(self) -> tuple[object, ...]:
        """What instances of a component are sorted by, so that equal components look equal."""
        return (self.pool, self.gpus, self.alone, self.on_shared, self.wide)


@dataclass(frozen=True, slots=True)
class _Component:
    """Nodes of one rack that share instances: the kinds of those that several share, and everything on them."""

    rack: str | None
    shared: tuple[int, ...]
    held: tuple[_Held, ...]
