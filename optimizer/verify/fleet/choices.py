"""Every choice of instances that meets some linear conditions: depth first, cut off where the rest cannot meet them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from optimizer.verify.twin_times import Floats, Ints

MOST_TABLE = 150_000
"""Lines in the tables of what the rest can add at most; beyond, the best per GPU stands in for them."""


class TooMany(Exception):
    """More steps than allowed: nothing is said about all choices."""


def choices(
    sizes: Ints, pool: Ints, room: Sequence[int], gain: Floats, need: Floats, most_steps: int, most_found: int
) -> Iterator[tuple[int, ...]]:
    """All counts x ≥ 0 of offers with gain · x ≥ need in every row, and within the GPUs of every pool.

    Args:
        sizes: GPUs of one instance of each offer.
        pool: which pool of GPUs each offer draws on; offers of one pool stand together.
        room: GPUs of each pool.
        gain: one line for each condition, one column for each offer.
        need: what each condition asks for.

    Raises:
        TooMany: more steps or more choices than allowed.
    """
    count = len(sizes)
    rest = _rest(sizes, pool, room, gain)
    found = [0]
    steps = [most_steps]
    chosen = [0] * count

    def extend(i: int, left: int, short: Floats) -> Iterator[tuple[int, ...]]:
        """What may be added from offer i on; ``left`` are GPUs of its pool."""
        steps[0] -= 1
        if steps[0] < 0:
            raise TooMany
        if (short <= 0).all():
            found[0] += 1
            if found[0] > most_found:
                raise TooMany
            yield tuple(chosen)
        for j in range(i, count):
            if j > i and pool[j] != pool[j - 1]:
                left = room[int(pool[j])]
            if (short > rest(j, left)).any():
                return  # nor can those after it: they are among what was counted on
            size, add = int(sizes[j]), gain[:, j]
            for n in range(1, left // size + 1):
                chosen[j] = n
                following = left - n * size
                if j + 1 < count and pool[j + 1] != pool[j]:
                    following = room[int(pool[j + 1])]
                yield from extend(j + 1, following, short - n * add)
            chosen[j] = 0

    yield from extend(0, room[int(pool[0])] if count else 0, need)


def _rest(sizes: Ints, pool: Ints, room: Sequence[int], gain: Floats) -> Callable[[int, int], Floats]:
    """(position, GPUs left in its pool) → what offers from there on can add at most to each condition."""
    lines, count = gain.shape
    later = np.zeros((count + 1, lines))  # by pools after that of the offer
    best = np.zeros((count + 1, lines))  # per GPU, of this offer and those after it in its pool
    small = sum(room[int(p)] + 1 for p in pool) <= MOST_TABLE
    tables: list[Floats] = [np.zeros((1, lines))] * (count + 1)
    whole = np.zeros(lines)
    table = np.zeros((1, lines))
    for i in range(count - 1, -1, -1):
        top, size = room[int(pool[i])], int(sizes[i])
        if i + 1 < count and pool[i + 1] == pool[i]:
            best[i], later[i] = best[i + 1], later[i + 1]
        else:
            whole = whole + (_most(tables[i + 1], best[i + 1], room[int(pool[i + 1])], small) if i + 1 < count else 0)
            later[i] = whole
            table = np.zeros((top + 1, lines))
        best[i] = np.maximum(best[i], gain[:, i] / size)
        if small:
            table = table.copy()
            for g in range(size, top + 1):
                np.maximum(table[g], table[g - size] + gain[:, i], out=table[g])
            tables[i] = table

    def rest(i: int, left: int) -> Floats:
        found: Floats = later[i] + _most(tables[i], best[i], left, small)
        return found

    return rest


def _most(table: Floats, best: Floats, room: int, small: bool) -> Floats:
    found: Floats = table[room] if small else best * room
    return found
