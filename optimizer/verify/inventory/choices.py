"""Every choice of instances that meets some linear conditions: depth first, cut off where the rest cannot meet them.

Candidates over two groups come first: what is left of each supply of GPUs is then shared out supply by supply.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from optimizer.verify.common.float_times import Floats, Ints
from optimizer.verify.inventory.reach import Reach, WideReach


class TooMany(Exception):
    """More steps than allowed: nothing is said about all choices."""


@dataclass(frozen=True, slots=True)
class WideChoices:
    """Candidates that draw on two supplies. ``uses`` has a line for each supply, ``gain`` one for each condition."""

    uses: Ints
    gain: Floats


def choices(
    sizes: Ints,
    supply: Ints,
    room: Sequence[int],
    gain: Floats,
    need: Floats,
    most_steps: int,
    most_found: int,
    wide: WideChoices | None = None,
    spend: Callable[[], None] | None = None,
) -> Iterator[tuple[int, ...]]:
    """All counts x ≥ 0 of candidates with gain · x ≥ need in every row, and within the GPUs of every supply.

    Args:
        sizes: GPUs of one instance of each candidate.
        supply: which supply of GPUs each candidate draws on; candidates of one supply stand together.
        room: GPUs of each supply.
        gain: one line for each condition, one column for each candidate.
        need: what each condition asks for.
        wide: candidates that draw on two supplies; their counts stand behind the others.
        spend: called with each step; may raise ``TooMany``.

    Raises:
        TooMany: more steps or more choices than allowed.
    """
    yield from _ChoiceSearch(sizes, supply, room, gain, most_steps, most_found, wide, spend).run(need)


class _ChoiceSearch:
    """Depth first over the shapes: how many of each stand on a node, while supplies and what is needed leave room."""

    def __init__(
        self,
        sizes: Ints,
        supply: Ints,
        room: Sequence[int],
        gain: Floats,
        most_steps: int,
        most_found: int,
        wide: WideChoices | None,
        spend: Callable[[], None] | None,
    ) -> None:
        self._sizes, self._supply, self._gain, self._wide = sizes, supply, gain, wide
        self._room = np.array(room, dtype=np.int64)
        self._reach = Reach(sizes, supply, room, gain)
        self._wide_reach = WideReach(self._reach, wide.uses, wide.gain) if wide is not None else None
        self._steps, self._found, self._spend = most_steps, most_found, spend
        self._chosen = [0] * len(sizes)
        self._across = [0] * (wide.uses.shape[1] if wide is not None else 0)

    def run(self, need: Floats) -> Iterator[tuple[int, ...]]:
        """Every choice that may still reach ``need``, as counts by shape."""
        yield from self._add_wide(0, self._room, need)

    def _step(self) -> None:
        self._steps -= 1
        if self._steps < 0:
            raise TooMany
        if self._spend is not None:
            self._spend()

    def _add_wide(self, k: int, room: Ints, short: Floats) -> Iterator[tuple[int, ...]]:
        """What may be added to some candidates over two groups: candidates within groups alone, or more of those from k on."""
        self._step()
        later = self._reach.later(room)
        if not (short > later[0]).any():
            first = int(room[self._supply[0]]) if len(self._sizes) else 0
            yield from self._add(0, first, short, room, later)
        if self._wide is None or self._wide_reach is None:
            return
        for j in range(k, len(self._across)):
            if (short > self._wide_reach.most(j, room)).any():
                return  # nor can those after it
            uses, add = self._wide.uses[:, j], self._wide.gain[:, j]
            taken = uses > 0
            for n in range(1, int((room[taken] // uses[taken]).min()) + 1):
                self._across[j] = n
                yield from self._add_wide(j + 1, room - n * uses, short - n * add)
            self._across[j] = 0

    def _add(self, i: int, left: int, short: Floats, room: Ints, later: Floats) -> Iterator[tuple[int, ...]]:
        """What may be added from candidate i on; ``left`` are GPUs of its supply."""
        self._step()
        supply, count = self._supply, len(self._sizes)
        if (short <= 0).all():
            self._found -= 1
            if self._found < 0:
                raise TooMany
            yield (*self._chosen, *self._across)
        for j in range(i, count):
            if j > i and supply[j] != supply[j - 1]:
                left = int(room[supply[j]])
            if (short > self._reach.most(j, left, later)).any():
                return  # nor can those after it: they are among what was counted on
            size, add = int(self._sizes[j]), self._gain[:, j]
            for n in range(1, left // size + 1):
                self._chosen[j] = n
                following = left - n * size
                if j + 1 < count and supply[j + 1] != supply[j]:
                    following = int(room[supply[j + 1]])
                yield from self._add(j + 1, following, short - n * add, room, later)
            self._chosen[j] = 0
