"""What candidates can add at most to linear conditions within the GPUs that are left: tables of knapsacks, one a supply."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from optimizer.verify.common.float_times import Floats, Ints

MOST_TABLE = 150_000
"""Lines in the tables of what the rest can add at most; beyond, the best per GPU stands in for them."""


class Reach:
    """Candidates that draw on one supply each; those of one supply stand together."""

    def __init__(self, sizes: Ints, supply: Ints, room: Sequence[int], gain: Floats) -> None:
        self.lines, self.room = gain.shape[0], room
        self.small = sum(room[int(p)] + 1 for p in supply) <= MOST_TABLE
        count = len(sizes)
        self._supply = supply
        self._best = np.zeros((count, self.lines))
        """Per GPU, of each candidate and those after it in its supply."""
        self._tables: list[Floats] = [np.zeros((1, self.lines))] * count
        self._first: dict[int, int] = {}
        for i in range(count - 1, -1, -1):
            own = int(supply[i])
            last = i + 1 == count or supply[i + 1] != own
            self._best[i] = np.maximum(0.0 if last else self._best[i + 1], gain[:, i] / sizes[i])
            if self.small:
                before = np.zeros((room[own] + 1, self.lines)) if last else self._tables[i + 1]
                self._tables[i] = with_candidate(before, int(sizes[i]), gain[:, i])
            self._first[own] = i

    def whole(self, supply: int) -> tuple[Floats, Floats]:
        """(table, best per GPU) of all candidates of a supply."""
        first = self._first.get(supply)
        if first is None:
            return np.zeros((self.room[supply] + 1, self.lines)), np.zeros(self.lines)
        return self._tables[first], self._best[first]

    def later(self, room: Ints) -> Floats:
        """Line 0: what all supplies add at most with so many GPUs each. Line p + 1: those whose candidates stand after supply p's."""
        found = np.zeros((len(self.room) + 1, self.lines))
        total = np.zeros(self.lines)
        for supply in sorted(self._first, key=lambda p: -self._first[p]):
            found[supply + 1] = total
            table, best = self.whole(supply)
            total = total + (table[room[supply]] if self.small else best * room[supply])
        found[0] = total
        return found

    def most(self, i: int, left: int, later: Floats) -> Floats:
        """What candidates from i on add at most, with so many GPUs left in the supply of candidate i."""
        own = self._tables[i][left] if self.small else self._best[i] * left
        found: Floats = own + later[int(self._supply[i]) + 1]
        return found


class WideReach:
    """Candidates that draw on several supplies, from each on, and all those within supplies.

    Each is taken apart into one candidate for each supply with a part of its gain: whatever all of them add together, the parts can too.
    Candidates that use the same GPUs are one class, which gains what the best of it gains, condition by condition.
    """

    def __init__(self, within: Reach, uses: Ints, gain: Floats) -> None:
        self._small = within.small
        supplies = range(uses.shape[0])
        whole = [within.whole(supply) for supply in supplies]
        tables, best = [table for table, _ in whole], [best for _, best in whole]
        self._at: list[tuple[list[Floats], list[Floats]]] = []
        columns = [tuple(column) for column in uses.T.tolist()]
        reached: list[tuple[list[Floats], list[Floats]]] = []
        i = len(columns)
        while i > 0:
            start = i - 1
            while start > 0 and columns[start - 1] == columns[i - 1]:
                start -= 1
            most = gain[:, start:i].max(axis=1)
            tables, best = list(tables), list(best)
            for supply in supplies:
                size = columns[start][supply]
                if size:
                    part = most * (size / sum(columns[start]))
                    best[supply] = np.maximum(best[supply], part / size)
                    if self._small:
                        tables[supply] = with_candidate(tables[supply], size, part)
            reached += [(tables, best)] * (i - start)
            i = start
        self._at = reached[::-1]

    def most(self, j: int, room: Ints) -> Floats:
        """What wide candidates from j on, and all others, add at most with so many GPUs left in each supply."""
        tables, best = self._at[j]
        total = np.zeros_like(best[0])
        for supply, left in enumerate(room.tolist()):
            total = total + (tables[supply][left] if self._small else best[supply] * left)
        return total


def with_candidate(table: Floats, size: int, gain: Floats) -> Floats:
    """A table of the most within 0, 1, 2, … GPUs, and with any number of one more candidate."""
    found = table.copy()
    for g in range(size, len(found)):
        np.maximum(found[g], found[g - size] + gain, out=found[g])
    return found
