"""Do the predictions rank pools of prefill and decode workers as measured? The top choice at each load, by throughput.

A load is a model, GPU, engine, precision, pair of lengths and a concurrency or rate of requests; or any concurrency, with a limit on
TPOT. Its candidates differ in the number of workers of either side or in their shapes; repeats are averaged. A choice is right if it is
the measured best or within 5 % of it and keeps the limit; of predictions within 1 % of each other the shorter request is chosen.

With any concurrency a choice is of pools and of how many requests they are sent at once, and one that misses the limit by a little counts
as all lost. What the pools alone were worth is scored beside it: the pools chosen, sent as many as measurements allow.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from calibration.choosing import LIMITS_MS
from calibration.kinds import Predicted
from calibration.strata import predicted_of
from optimizer.costs.measured_runs import MeasuredRun
from optimizer.costs.shapes import Floats, Ints

NEAR, SAME = 0.05, 0.01


@dataclass(frozen=True, slots=True)
class RatioScore:
    """Over all loads of one kind, in percent of the cases."""

    case: str
    cases: int
    exact: float
    near: float
    """Right: the best, or within 5 % of its measured throughput."""
    worst_loss: float
    """Most throughput that a choice lost, percent of the best; 100 where it breaks the limit."""


@dataclass(frozen=True, slots=True)
class _Group:
    """Candidates of one load, arrays in their order: GPUs; output tokens/s, TPOT and whole request in ms."""

    gpus: Floats
    measured_rate: Floats
    measured_tpot: Floats
    rate: Floats
    tpot: Floats
    whole: Floats
    pools: Ints
    """Which candidates are the same pools with more or fewer requests at once."""


def ratio_scores(runs: Sequence[MeasuredRun], found: Sequence[Predicted]) -> list[RatioScore]:
    """Every comparison that the rows allow; empty where no load has two pairs of pools."""
    fixed: dict[Hashable, dict[Hashable, list[Floats]]] = {}
    free: dict[Hashable, dict[Hashable, list[Floats]]] = {}
    for run, one in zip(runs, found, strict=True):
        row = run.row
        if row.prefill is None or row.decode is None:
            continue
        figures = _figures(run, one)
        if not np.isfinite(figures).all():
            continue
        key = (run.model.name, run.gpu.name, row.engine, row.precision, row.prompt_tokens, row.output_tokens, row.kind)
        pools, load = (row.prefill, row.decode), (row.concurrency, str(row.rate_per_s))
        fixed.setdefault((key, load, row.network), {}).setdefault(pools, []).append(figures)
        if not np.isfinite(row.rate_per_s):
            free.setdefault(key, {}).setdefault((pools, load), []).append(figures)
    loads = _groups(fixed.values(), lambda pools: pools)
    any_load = _groups(free.values(), lambda pools: pools[0])
    limits = f"TPOT ≤ {min(LIMITS_MS):g}…{max(LIMITS_MS):g} ms"
    scores = [
        _score("at one load, tokens/s", loads, (np.inf,), lambda group: np.ones_like(group.gpus)),
        _score("at one load, tokens/s per GPU", loads, (np.inf,), lambda group: group.gpus),
        _score(f"any load, {limits}, tokens/s per GPU", any_load, LIMITS_MS, lambda group: group.gpus),
        _score_of_pools("the same, pools alone", any_load, LIMITS_MS),
    ]
    return [score for score in scores if score is not None]


def _figures(run: MeasuredRun, one: Predicted) -> Floats:
    """GPUs, then measured and predicted as in ``_Group``."""
    row, predicted = run.row, predicted_of(run, one)
    assert row.prefill and row.decode
    rate = row.output_tok_s
    if not np.isfinite(rate):
        rate = 1e3 * row.concurrency * row.output_tokens / row.end_to_end_ms
    gpus = row.prefill.gpus + row.decode.gpus
    return np.array([gpus, rate, row.tpot_ms, one.output_tok_s, predicted["tpot"], predicted["e2e"]], dtype=np.float64)


def _groups(members: Iterable[dict[Any, list[Floats]]], pools_of: Callable[[Any], Hashable]) -> list[_Group]:
    found = []
    for candidates in members:
        if len(candidates) > 1:
            figures = np.stack([np.mean(repeats, axis=0) for repeats in candidates.values()]).T
            number: dict[Hashable, int] = {}
            pools = [number.setdefault(pools_of(one), len(number)) for one in candidates]
            found.append(_Group(*figures, np.array(pools, dtype=np.int64)))
    return found


def _score(
    case: str, groups: Sequence[_Group], limits: Sequence[float], per: Callable[[_Group], Floats]
) -> RatioScore | None:
    losses = []
    for group in groups:
        measured, predicted = group.measured_rate / per(group), group.rate / per(group)
        for limit in limits:
            keeps, expected = group.measured_tpot <= limit, group.tpot <= limit
            if not keeps.any():
                continue
            best = measured[keeps].max()
            if expected.any():
                top = expected & (predicted >= (1 - SAME) * predicted[expected].max())
                chosen = int(np.argmin(np.where(top, group.whole, np.inf)))
            else:
                chosen = int(np.argmin(group.tpot))
            losses.append(1 - measured[chosen] / best if keeps[chosen] else 1.0)
    return _scored(case, losses)


def _score_of_pools(case: str, groups: Sequence[_Group], limits: Sequence[float]) -> RatioScore | None:
    """The pools of the choice, sent as many requests at once as measurements within the limit allow, by tokens/s per GPU.

    Counted where measurements leave a choice: at least two pairs of pools keep the limit.
    """
    losses = []
    for group in groups:
        measured, predicted = group.measured_rate / group.gpus, group.rate / group.gpus
        for limit in limits:
            keeps, expected = group.measured_tpot <= limit, group.tpot <= limit
            if len(set(group.pools[keeps].tolist())) < 2:
                continue
            chosen = (
                int(np.argmax(np.where(expected, predicted, 0.0))) if expected.any() else int(np.argmin(group.tpot))
            )
            own = keeps & (group.pools == group.pools[chosen])
            losses.append(1 - measured[own].max() / measured[keeps].max() if own.any() else 1.0)
    return _scored(case, losses)


def _scored(case: str, losses: Sequence[float]) -> RatioScore | None:
    if not losses:
        return None
    lost = np.array(losses)
    right, near = (100 * float((lost <= most).mean()) for most in (1e-9, NEAR))
    return RatioScore(case, len(lost), right, near, 100 * float(lost.max()))


def text(scores: Iterable[RatioScore]) -> str:
    """The scores as text."""
    head = f"{'ranking prefill and decode pools, top choice':<54}{'cases':>7}{'best %':>10}{'within 5 %':>12}{'worst loss %':>14}"
    rows = [f"{s.case:<54}{s.cases:>7}{s.exact:>10.1f}{s.near:>12.1f}{s.worst_loss:>14.1f}" for s in scores]
    return "\n".join([head, *rows])
