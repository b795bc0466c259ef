"""Minimal conflicts from masks: a set is a conflict when it hits every mask.

One conflict: deletion in a fixed order (Marques-Silva, Minimal Unsatisfiability, ISMVL 2010). All of them: the minimal
hitting sets of the masks, by branching on an unhit mask and keeping only sets whose every member is critical (Murakami
and Uno, Efficient algorithms for dualizing large-scale hypergraphs, ALENEX 2013). MARCO (Liffiton et al., Constraints
2016) walks the same duality with a solver in place of the table.
"""

from __future__ import annotations

from collections.abc import Sequence


def deletion(masks: Sequence[int], order: Sequence[int]) -> int | None:
    """One minimal set of bits that hits every mask, dropping bits in the given order; None when none does."""
    core = 0
    for bit in order:
        core |= bit
    if any(mask & core == 0 for mask in masks):
        return None
    for bit in order:
        rest = core & ~bit
        if all(mask & rest for mask in masks):
            core = rest
    return core


def hitting_sets(masks: Sequence[int], most: int) -> tuple[list[int], bool]:
    """Minimal sets of bits that hit every mask, and whether the list is complete; at most so many."""
    found: list[int] = []
    complete = True
    budget = [200_000]

    def grow(chosen: int, allowed: int) -> None:
        nonlocal complete
        budget[0] -= 1
        if budget[0] < 0 or len(found) >= most:
            complete = False
            return
        unhit = [mask for mask in masks if not mask & chosen]
        if not unhit:
            found.append(chosen)
            return
        branch = min((mask & allowed for mask in unhit), key=int.bit_count)
        allowed &= ~branch
        while branch:
            bit = branch & -branch
            branch ^= bit
            if _critical(masks, chosen | bit):
                grow(chosen | bit, allowed)
            allowed |= bit

    every = 0
    for mask in masks:
        every |= mask
    grow(0, every)
    return sorted(set(found), key=lambda s: (s.bit_count(), s)), complete


def _critical(masks: Sequence[int], chosen: int) -> bool:
    """Whether each bit is the only one that hits some mask."""
    needed = 0
    for mask in masks:
        hit = mask & chosen
        if hit and hit & (hit - 1) == 0:
            needed |= hit
    return needed == chosen
