"""What options say that several commands share: JSON or text, fixed decisions, a trace, a time limit; refused where out of range."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pathlib import Path

    from optimizer.results.answer import Fixed

LEAST_LEFT = 0.05
"""Part of a time limit that is left whatever loading took: no limit is below nothing."""
Prefill = Annotated[
    str | None,
    typer.Option(
        "--prefill",
        help="Pools: tp=4,count=2 of prefill, group=NAME with cluster (docs/disaggregated.md).",
        metavar="POOL",
    ),
]
OwnPrefill = Annotated[
    str | None, typer.Option("--prefill", help="Pools of your own, as for check: tp=4,count=2.", metavar="POOL")
]
Decode = Annotated[
    str | None,
    typer.Option("--decode", help="The same of decode: tp=8,count=1,max_num_seqs=64.", metavar="POOL"),
]
Share = Annotated[
    float | None,
    typer.Option(
        "--share", help="Pools beside --tp, --dp: tenths of the requests that these get (0.3).", metavar="SHARE"
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def fixed_of(
    tp: int | None,
    pp: int | None,
    dp: int | None,
    ep: int | None,
    max_num_seqs: int | None,
    layers: str | None,
    weights: str | None,
    kv: str | None,
    expert_slice_ranks: int | None = None,
    dcp: int | None = None,
) -> Fixed:
    """The decisions that options fix, checked for range."""
    from typing import get_args

    from optimizer.facts.base import LARGEST_COUNT
    from optimizer.facts.demand import KvFormat, kv_name
    from optimizer.facts.errors import ProblemError, closest
    from optimizer.facts.model import WeightFormat
    from optimizer.results.answer import Fixed

    limits = {
        "--tp": (tp, LARGEST_COUNT),
        "--pp": (pp, 10_000),
        "--dp": (dp, LARGEST_COUNT),
        "--ep": (ep, LARGEST_COUNT),
        "--expert-slice-ranks": (expert_slice_ranks, LARGEST_COUNT),
        "--dcp": (dcp, LARGEST_COUNT),
    }
    limits["--max-num-seqs"] = (max_num_seqs, 8192)
    for option, (value, largest) in limits.items():
        if value is not None and not 1 <= value <= largest:
            raise ProblemError(option, f"{value} is not allowed; a whole number from 1 to {largest:,}")
    split = None
    if layers is not None:
        parts = [part.strip() for part in layers.split(",")]
        if not all(part.isascii() and part.isdigit() and len(part) <= 6 for part in parts):
            raise ProblemError("--layers", f"{layers!r} is not a list of whole numbers such as 20,20,20,20")
        split = tuple(int(part) for part in parts)
    kv = None if kv == "auto" else None if kv is None else str(kv_name(kv))
    for option, name, known in (("--weights", weights, get_args(WeightFormat)), ("--kv", kv, get_args(KvFormat))):
        if name is not None and name not in known:
            raise ProblemError(option, f"{name!r} is not a known format; {closest(name, known)}")
    return Fixed(tp, pp, dp, ep, max_num_seqs, split, weights, kv, expert_slice_ranks, dcp)


def trace_file(path: str | None) -> Path | None:
    """The file of ``--trace``, which has to be there."""
    from pathlib import Path

    from optimizer.facts.errors import ProblemError
    from optimizer.facts.paths import is_file

    if path is not None and not is_file(path):
        raise ProblemError("--trace", f"{path}: no such file")
    return None if path is None else Path(path)


def time_limit_of(seconds: float | None) -> float | None:
    """What is left of the seconds of ``--time-limit``, checked for range: loading the program counts too."""
    from math import isfinite

    from optimizer.cli.started import seconds as gone
    from optimizer.facts.errors import ProblemError

    if seconds is not None and not (isfinite(seconds) and seconds > 0):
        raise ProblemError("--time-limit", f"{seconds} is not allowed; seconds above 0")
    return None if seconds is None else max(LEAST_LEFT * seconds, seconds - gone())


def gap_of(text: str | None) -> float:
    """The share of ``--gap``, as 0.02 or 2%; 0 where it is left out."""
    from math import isfinite

    from optimizer.facts.errors import ProblemError

    if text is None:
        return 0.0
    plain = text.strip()
    try:
        share = float(plain[:-1]) / 100 if plain.endswith("%") else float(plain)
    except ValueError:
        share = -1.0
    if not (isfinite(share) and 0 <= share <= 1):
        raise ProblemError(
            "--gap", f"{text!r} is not allowed; a share from 0 to 1 such as 0.02, or a percentage such as 2%"
        )
    return share
