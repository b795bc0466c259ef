"""The probability of every state: how many instances of each family are down. ``docs/inventories.md``, section 5.

By factoring: on the part that most instances share, up or down, until what is left falls into independent pieces. Equal
pieces are counted, and their joint distribution is the multinomial one; nothing is built up instance by instance.

Probabilities are complex. The availability a of a part of level L enters as a · exp(i · STEP / mtbf_L). A probability of a set
of states is linear in each part's availability, so that its imaginary part divided by STEP is, to rounding,
Σ over parts a / mtbf · (P(set | part up) − P(set | part down)): the net rate at which the set is left (``frequency``).
"""

from __future__ import annotations

import cmath
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import comb

import numpy as np
from numpy.typing import NDArray

from optimizer.facts.inventory import InventoryProblem, Rate
from optimizer.results.placement import PlacedInstance
from optimizer.verify.inventory.site import CheckedSite, Part

STEP = 1e-6
"""Of the complex derivative; its square is far below the rounding of what it is compared with."""
NEGLECTED = 1e-17
"""Terms below this are dropped on the way; they belong to states that count as nothing served anyway."""
MOST_STATES = 300_000

Distribution = dict[int, complex]
"""Instances down, as one number (digits: families), → probability."""


class TooManyStates(Exception):
    """More states than are worked through; nothing exact is said then."""


@dataclass(frozen=True, slots=True)
class Member:
    """One instance: its family, its own GPUs, the parts that it shares with others."""

    family: int
    gpus: int
    parts: tuple[Part, ...]


Piece = tuple[tuple[int, int, tuple[tuple[str, int], ...]], ...]
"""Members with the parts numbered in the order in which they are met, so that equal pieces look equal."""


@dataclass(frozen=True, slots=True)
class States:
    """Every state kept. ``down`` has a line for each state and a column for each family, most probable first."""

    down: NDArray[np.int64]
    probability: NDArray[np.float64]
    leaving: NDArray[np.float64]
    """Share of the frequency with which a set of states is left, per hour."""


def rates_of(inventory: InventoryProblem, levels: Iterable[str]) -> dict[str, float]:
    """Level → mean hours between failures of one part, for the levels at which parts fail by themselves."""
    found = {}
    for level in levels:
        rate = inventory.mtbf(level)
        if rate is not None:
            found[level] = rate.value
    return found


def at_end(inventory: InventoryProblem, end: str) -> InventoryProblem | None:
    """The inventory with all failure rates at one end of their ranges: ``low`` is short between failures, long to repair."""
    ends = {"low": ("low", "high"), "high": ("high", "low")}.get(end)
    if ends is None:
        return None
    changed = {}
    for name in type(inventory.failures).model_fields:
        rate = getattr(inventory.failures, name)
        if isinstance(rate, Rate):
            value = getattr(rate, ends[name == "repair_hours"])
            changed[name] = rate.model_copy(update={"value": value})
    return inventory.model_copy(update={"failures": inventory.failures.model_copy(update=changed)})


def members_of(
    site: CheckedSite, placed: Sequence[PlacedInstance], families: Sequence[int], levels: Mapping[str, float]
) -> list[Member]:
    """The placed instances as the distribution sees them; parts that never fail are left out."""
    return [
        Member(family, len(instance.gpus), tuple(part for part in site.failing_parts(instance) if part[0] in levels))
        for instance, family in zip(placed, families, strict=True)
    ]


def states_of(inventory: InventoryProblem, members: Sequence[Member], sizes: Sequence[int]) -> States:
    """The distribution of the numbers of instances down.

    Args:
        members: every instance.
        sizes: instances of each family.

    Raises:
        TooManyStates: more than ``MOST_STATES``.
    """
    rates = rates_of(inventory, ("gpu", *{part[0] for member in members for part in member.parts}))
    found = _Factoring(rates, inventory.failures.repair_hours.value, sizes).of(members)
    ordered = sorted(found.items(), key=lambda item: -item[1].real)
    values = np.array([value for _, value in ordered])
    keys = [key for key, _ in ordered]
    down = np.zeros((len(keys), len(sizes)), dtype=np.int64)
    for column, size in enumerate(sizes):
        down[:, column] = [key % (size + 1) for key in keys]
        keys = [key // (size + 1) for key in keys]
    return States(down, values.real, values.imag / STEP)


class _Factoring:
    """The recursion, with every piece computed once."""

    def __init__(self, rates: Mapping[str, float], repair_hours: float, sizes: Sequence[int]) -> None:
        self._up = {level: mtbf / (mtbf + repair_hours) * cmath.exp(1j * STEP / mtbf) for level, mtbf in rates.items()}
        self._digit = [1]
        for size in sizes:
            self._digit.append(self._digit[-1] * (size + 1))
        self._known: dict[Piece, Distribution] = {}

    def of(self, members: Sequence[Member]) -> Distribution:
        """Distribution of the members down."""
        total: Distribution = {0: 1 + 0j}
        for piece, count in Counter(_pieces(members)).items():
            total = _product(total, _power(self._piece(piece), count))
        return total

    def _piece(self, piece: Piece) -> Distribution:
        if piece not in self._known:
            self._known[piece] = self._compute(piece)
        return self._known[piece]

    def _compute(self, piece: Piece) -> Distribution:
        members = [Member(family, gpus, tuple((lv, str(n)) for lv, n in parts)) for family, gpus, parts in piece]
        if len(members) == 1:
            (one,) = members
            up = self._up.get("gpu", 1 + 0j) ** one.gpus
            for level, _ in one.parts:
                up *= self._up[level]
            return {0: up, self._digit[one.family]: 1 - up}
        uses = Counter(part for member in members for part in member.parts)
        shared = max(uses, key=lambda part: uses[part])
        lost = sum(self._digit[member.family] for member in members if shared in member.parts)
        without = [Member(m.family, m.gpus, tuple(p for p in m.parts if p != shared)) for m in members]
        up = self._up[shared[0]]
        result = {key: up * p for key, p in self.of(without).items()}
        for key, p in self.of([m for m in members if shared not in m.parts]).items():
            result[key + lost] = result.get(key + lost, 0) + (1 - up) * p
        return result


def _pieces(members: Sequence[Member]) -> Iterable[Piece]:
    """Members that share parts, directly or through others, together."""
    first_with: dict[Part, int] = {}
    root = list(range(len(members)))

    def find(i: int) -> int:
        while root[i] != i:
            root[i] = root[root[i]]
            i = root[i]
        return i

    for i, member in enumerate(members):
        for part in member.parts:
            root[find(i)] = find(first_with.setdefault(part, i))
    together: dict[int, list[Member]] = {}
    for i, member in enumerate(members):
        together.setdefault(find(i), []).append(member)
    for piece in together.values():
        piece.sort(key=lambda member: (member.family, member.gpus))
        number: dict[Part, int] = {}
        yield tuple(
            (m.family, m.gpus, tuple((part[0], number.setdefault(part, len(number))) for part in m.parts))
            for m in piece
        )


def _product(a: Distribution, b: Distribution) -> Distribution:
    """Of independent sums."""
    if len(a) > len(b):
        a, b = b, a
    if len(a) == 1 and 0 in a:
        return {key: a[0] * p for key, p in b.items()}
    ordered = sorted(b.items(), key=lambda item: -abs(item[1]))
    result: Distribution = {}
    for key, p in a.items():
        size = abs(p)
        for other, q in ordered:
            if size * abs(q) < NEGLECTED:
                break
            result[key + other] = result.get(key + other, 0) + p * q
        if len(result) > MOST_STATES:
            raise TooManyStates
    return result


def _power(one: Distribution, count: int) -> Distribution:
    """The sum over so many independent equal pieces: multinomial."""
    if count == 1:
        return one
    kinds = sorted(((key, p) for key, p in one.items() if key), key=lambda item: -abs(item[1]))
    beyond = [one.get(0, 0j)]
    for _, p in reversed(kinds):
        beyond.append(beyond[-1] + p)
    beyond.reverse()  # beyond[j]: nothing down, or one of the kinds from j on
    result: Distribution = {}

    def extend(kind: int, left: int, key: int, weight: complex) -> None:
        if abs(weight) * abs(beyond[kind]) ** left < NEGLECTED:
            return
        if kind == len(kinds) or left == 0:
            result[key] = result.get(key, 0) + weight * one.get(0, 0j) ** left
            if len(result) > MOST_STATES:
                raise TooManyStates
            return
        digit, p = kinds[kind]
        power = 1 + 0j
        for n in range(left + 1):
            extend(kind + 1, left - n, key + n * digit, weight * comb(left, n) * power)
            power *= p
            if power == 0:
                break

    extend(0, count, 0, 1 + 0j)
    return result
