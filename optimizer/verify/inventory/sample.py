"""Availability by sampling states of named parts, one stratum for each number of parts that are down.

For services whose outages are too rare to be met in a simulation in time: with none down nothing is lost; each single
part is tried; two, three, and four or more parts down are drawn at random, each stratum with its exact probability.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from optimizer.verify.common.float_times import Floats, Ints
from optimizer.verify.inventory.simulate import NORMAL_99, Level, distinct_lines, spread, victims_of
from optimizer.verify.inventory.value import InstanceFamily, LoadWeights, judge

DRAWS = 20_000
"""Of each stratum."""
FEW_99 = 12.4
"""Added to what a stratum of n draws may be wrong by, over n (an empirical Bernstein bound at 99 %)."""
_LARGEST_TABLE = 4_000_000


@dataclass(frozen=True, slots=True)
class Sampled:
    """Estimate of the availability and the half-width of its interval."""

    availability: float
    within: float
    draws: int


class _Sampler:
    """Sets of parts that are down → what is served."""

    def __init__(
        self,
        levels: Sequence[Level],
        families: Sequence[InstanceFamily],
        family_of: Ints,
        demand: float,
        weights: LoadWeights,
    ) -> None:
        self._families, self._demand, self._weights = families, demand, weights
        self._instances = len(family_of)
        self._member = np.zeros((len(family_of), len(families)), dtype=np.float32)
        self._member[np.arange(len(family_of)), family_of] = 1
        self._victims = [victims_of(level) for level in levels]

    def served(self, choices: Sequence[Ints]) -> Floats:
        """Share served; ``choices`` has for each level a table of the parts down, one line a draw."""
        draws = len(choices[0])
        result = np.empty(draws)
        block = max(1, _LARGEST_TABLE // max(1, self._instances))
        for start in range(0, draws, block):
            lines = slice(start, min(draws, start + block))
            gone = np.zeros((lines.stop - start, self._instances), dtype=np.bool_)
            for (first, whose), table in zip(self._victims, choices, strict=True):
                for parts in table[lines].T:
                    draw, entry = spread(first, parts)
                    gone[draw, whose[entry]] = True
            down = np.rint(gone.astype(np.float32) @ self._member).astype(np.int64)
            kinds, which = distinct_lines(down)
            result[lines] = judge(self._families, self._demand, self._weights, kinds).served[which]
        return result


def sample(
    levels: Sequence[Level],
    repair_hours: float,
    families: Sequence[InstanceFamily],
    family_of: Ints,
    demand: float,
    weights: LoadWeights,
    seed: int,
    draws: int = DRAWS,
) -> Sampled:
    """The availability from strata of parts down."""
    rng = np.random.default_rng(seed)
    sampler = _Sampler(levels, families, family_of, demand, weights)
    counts = [_binomial(level.parts, repair_hours / (level.mtbf_hours + repair_hours)) for level in levels]
    longest = max(len(count) for count in counts)
    tails = [np.ones(1)]  # tails[i][j]: probability that the last i levels have j parts down
    for count in reversed(counts):
        tails.append(np.convolve(tails[-1], count)[: 4 * longest])
    whole = tails[-1]
    missed, variance, drawn = 0.0, 0.0, 0
    strata = [np.array([n]) for n in (1, 2, 3) if n < len(whole)] + [np.arange(4, len(whole))]
    for totals in strata:
        weight = float(whole[totals].sum())
        if weight < 1e-15 or len(totals) == 0:
            continue
        if totals.tolist() == [1]:
            missed += _singles(levels, counts, sampler)
            continue
        shares = whole[totals] / whole[totals].sum()
        losses = []
        for total, n in zip(totals.tolist(), rng.multinomial(draws, shares).tolist(), strict=True):
            if n:
                losses.append(1 - _draw(rng, levels, counts, tails, total, n, sampler))
        lost = np.concatenate(losses)
        drawn += len(lost)
        missed += weight * float(lost.mean())
        variance += weight * (NORMAL_99 * float(lost.std()) / np.sqrt(draws) + FEW_99 / draws)
    return Sampled(1 - missed, variance + 1e-13, drawn)


def _binomial(n: int, u: float) -> Floats:
    """Probabilities of 0, 1, … of n parts down, as far as they matter."""
    found = [(1 - u) ** n]
    for k in range(1, n + 1):
        found.append(found[-1] * (n - k + 1) / k * u / (1 - u))
        if k > n * u and found[-1] < 1e-18:
            break
    return np.array(found)


def _singles(levels: Sequence[Level], counts: Sequence[Floats], sampler: _Sampler) -> float:
    """What is missed with exactly one part down, every one tried, times its probability."""
    missed = 0.0
    for i, level in enumerate(levels):
        alone = float(np.prod([count[0] for j, count in enumerate(counts) if j != i])) * float(counts[i][1])
        choices = [np.arange(level.parts)[:, None] if j == i else _nothing(level.parts) for j in range(len(levels))]
        missed += alone * float((1 - sampler.served(choices)).mean())
    return missed


def _nothing(draws: int) -> Ints:
    return np.zeros((draws, 0), dtype=np.int64)


def _draw(
    rng: np.random.Generator,
    levels: Sequence[Level],
    counts: Sequence[Floats],
    tails: Sequence[Floats],
    total: int,
    draws: int,
    sampler: _Sampler,
) -> Floats:
    """Shares served in so many states with this many parts down."""
    found = []
    for down, n in _compositions(rng, counts, tails, total, draws):
        choices = [_subsets(rng, level.parts, k, n) for level, k in zip(levels, down, strict=True)]
        found.append(sampler.served(choices))
    return np.concatenate(found)


def _compositions(
    rng: np.random.Generator, counts: Sequence[Floats], tails: Sequence[Floats], total: int, draws: int
) -> Iterator[tuple[tuple[int, ...], int]]:
    """(parts down at each level, draws of it), drawn with their probabilities given the total."""
    if not counts:
        yield (), draws
        return
    rest = tails[len(counts) - 1]
    odds = [
        own * (rest[total - k] if total - k < len(rest) else 0.0)
        for k, own in enumerate(counts[0][: total + 1].tolist())
    ]
    for k, n in enumerate(rng.multinomial(draws, np.array(odds) / sum(odds)).tolist()):
        if n:
            for others, m in _compositions(rng, counts[1:], tails, total - k, n):
                yield (k, *others), m


def _subsets(rng: np.random.Generator, parts: int, size: int, draws: int) -> Ints:
    """Random sets of distinct parts, one a line."""
    if size == 0:
        return _nothing(draws)
    if parts <= 8 * size:
        if size == parts:
            return np.tile(np.arange(parts), (draws, 1))
        return np.argpartition(rng.random((draws, parts)), size - 1, axis=1)[:, :size].astype(np.int64)
    found = rng.integers(parts, size=(draws, size))
    while True:
        ordered = np.sort(found, axis=1)
        again = np.flatnonzero((ordered[:, 1:] == ordered[:, :-1]).any(axis=1))
        if len(again) == 0:
            return found
        found[again] = rng.integers(parts, size=(len(again), size))
