"""Tokens of a prompt that are found in the cache, and tokens that a step yields where some are guessed.

Other home: ``facts/workload.py``, which costs read; docs/model.md, section 3.
"""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache

from optimizer.facts.workload import Prefix, Workload
from optimizer.verify.common.arithmetic import exact

BLOCK = 16
"""Tokens that a block of cache holds: what is found is found in whole blocks."""


def found_tokens(prefix: Prefix | None, tokens: int) -> int:
    """Tokens of a prompt that need no work, whole blocks; of any prompt one token at least is left to compute."""
    if prefix is None:
        return 0
    return _found(prefix.shared_tokens, prefix.hit_rate, tokens)


@lru_cache(maxsize=4096)
def _found(head: int, share: float, tokens: int) -> int:
    blocks = (tokens - 1) // BLOCK
    same = min(head // BLOCK, blocks)
    again = exact(share) * (tokens - same * BLOCK)
    return BLOCK * min(blocks, same + int(again // BLOCK))


def computed_tokens(work: Workload, tokens: int) -> int:
    """Tokens of a prompt that are computed."""
    return tokens - found_tokens(work.prefix, tokens)


def tokens_of_a_step(work: Workload) -> Fraction:
    """Tokens that a step yields a sequence: its own, and each guess that is accepted together with all before it."""
    if work.speculation is None:
        return Fraction(1)
    chance, together, total = exact(work.speculation.acceptance), Fraction(1), Fraction(1)
    for _ in range(work.speculation.tokens or 0):
        together *= chance
        total += together
    return total
