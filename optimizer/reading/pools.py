"""What a person decides of one pool, as ``--prefill`` and ``--decode`` state it: ``tp=4,count=2``."""

from __future__ import annotations

from typing import Literal

from optimizer.facts.errors import ProblemError, closest
from optimizer.results.pools import FixedPool, FixedPools

NAMES = {
    "tp": "tensor_parallel",
    "ep": "expert_parallel",
    "count": "count",
    "max_num_seqs": "max_num_seqs",
    "weights": "weight_precision",
    "kv": "kv_precision",
    "group": "group",
}
LARGEST = 1_000_000


def pools_of(prefill: str | None, decode: str | None) -> FixedPools | None:
    """Decisions of both pools; None where none is stated.

    Raises:
        ProblemError: as ``pool_of``.
    """
    if prefill is None and decode is None:
        return None
    stated = ((prefill, "--prefill"), (decode, "--decode"))
    return FixedPools(*(FixedPool() if text is None else pool_of(text, option) for text, option in stated))


def serving_of(text: str | None) -> Literal["joint", "disaggregated", "side-by-side"] | None:
    """One kind of instances, or both side by side.

    Raises:
        ProblemError: none of them.
    """
    if text is None or text in ("joint", "disaggregated", "side-by-side"):
        return text  # type: ignore[return-value]
    raise ProblemError(
        "--serving", f"{text!r} is not known; {closest(text, ('joint', 'disaggregated', 'side-by-side'))}"
    )


def pool_of(text: str, option: str) -> FixedPool:
    """Decisions of a pool.

    Args:
        text: ``name=value`` by commas; names tp, ep, count, max_num_seqs, weights, kv, group.
        option: where it was stated, for messages.

    Raises:
        ProblemError: a name is not known, or a value is no whole number.
    """
    found: dict[str, int | str] = {}
    for part in text.split(","):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or not value:
            raise ProblemError(option, f"{part.strip()!r} is not name=value; write it as tp=4,count=2")
        if name == "pp":
            if value != "1":
                raise ProblemError(option, f"pp={value} is not possible; instances of pools have no stages (pp=1)")
            continue
        if name not in NAMES:
            raise ProblemError(option, f"{name!r} is not known; {closest(name, NAMES)}")
        if NAMES[name] in found:
            raise ProblemError(option, f"{name} is stated twice")
        if name in ("weights", "kv", "group"):
            found[NAMES[name]] = value
            continue
        if not value.isdecimal() or not 1 <= int(value) <= LARGEST:
            raise ProblemError(option, f"{name}={value} is not a whole number from 1 to {LARGEST:,}")
        found[NAMES[name]] = int(value)
    if option == "--prefill" and "max_num_seqs" in found:
        raise ProblemError(option, "max_num_seqs is a decision of decode instances; state it with --decode")
    return FixedPool(**found)  # type: ignore[arg-type]
