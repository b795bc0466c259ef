"""The 90 % range of every prediction: from the measured runs that are like it, else as wide as the constants may be."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from calibration.kinds import NAN, Predicted, predict
from calibration.residual_strata import features_of_run
from optimizer.catalog.accuracy import full_load, like, words_of
from optimizer.catalog.constants import ClosedLoopConstants, constants, plausible_constants
from optimizer.costs.measured_runs import MeasuredRun
from optimizer.reading.measurements import ALL_AT_ONCE, CLOSED_LOOP, OFFLINE_MAX, OPEN_LOOP, STATIC_BATCH

NOTHING = "nothing like this was measured"
NOTHING_LIKE = f"{NOTHING}: the range is that of every constant at its best and at its worst"
QUEUED = frozenset({OFFLINE_MAX, STATIC_BATCH})
PLAYED = frozenset({OPEN_LOOP, ALL_AT_ONCE})
Ends = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Ranges:
    """5th and 95th percentile of what a run like this measures; NaN where the prediction is."""

    tpot: Ends
    ttft: Ends
    output_tok_s: Ends
    """Of runs whose requests were all queued."""
    like: str
    """The measured runs that it comes from; empty: nothing like it was measured."""


def ranges(
    runs: Sequence[MeasuredRun], found: Sequence[Predicted], engines: Mapping[str, ClosedLoopConstants]
) -> list[Ranges]:
    """One a run, in their order."""
    strata = [like(features_of_run(run)) for run in runs]
    wide = [i for i, one in enumerate(strata) if one is None or one.tpot is None or one.ttft is None]
    physics = dict(zip(wide, _physics([runs[i] for i in wide], [found[i] for i in wide], engines), strict=True))
    result = []
    for index, (run, one, stratum) in enumerate(zip(runs, found, strata, strict=True)):
        tpot, ttft = physics.get(index, ((NAN, NAN), (NAN, NAN)))
        measured = stratum is not None and stratum.tpot is not None
        if stratum and stratum.tpot:
            tpot = math.exp(stratum.tpot.p5), math.exp(stratum.tpot.p95)
            if stratum.ttft:
                ttft = math.exp(stratum.ttft.p5), math.exp(stratum.ttft.p95)
        rate, slower = NAN, tpot
        if run.row.kind in QUEUED:
            rate, loaded = one.output_tok_s, full_load(features_of_run(run))
            slower = (math.exp(loaded.p5), math.exp(loaded.p95)) if loaded else tpot
        result.append(
            Ranges(
                tpot=(one.tpot * tpot[0], one.tpot * tpot[1]),
                ttft=(one.ttft * ttft[0], one.ttft * ttft[1]),
                output_tok_s=(rate / slower[1], rate / slower[0]),
                like=words_of(stratum.features) if stratum and measured else "",
            )
        )
    return result


def _physics(
    runs: Sequence[MeasuredRun], found: Sequence[Predicted], engines: Mapping[str, ClosedLoopConstants]
) -> list[tuple[Ends, Ends]]:
    """Factors of TPOT and TTFT with all constants at their best, and at their worst."""
    loops = [_as_loop(run, one) for run, one in zip(runs, found, strict=True)]
    now, best, worst = (predict(loops, values, engines) for values in (constants(), *plausible_constants()))
    return [
        ((low.tpot / one.tpot, high.tpot / one.tpot), (low.ttft / one.ttft, high.ttft / one.ttft))
        for one, low, high in zip(now, best, worst, strict=True)
    ]


def _as_loop(run: MeasuredRun, one: Predicted) -> MeasuredRun:
    """A run that is played request by request as the closed loop of those in progress: Little's law."""
    if run.row.kind not in PLAYED:
        return run
    lasts_s = (one.ttft + run.row.output_tokens * (one.tpot if math.isfinite(one.tpot) else 0.0)) / 1e3
    known = math.isfinite(run.row.rate_per_s)
    busy = min(run.row.concurrency, max(1, round(run.row.rate_per_s * lasts_s))) if known else run.row.concurrency
    return replace(run, row=replace(run.row, kind=CLOSED_LOOP, concurrency=busy, waves=0, together=False))


@dataclass(frozen=True, slots=True)
class Held:
    """How many of the runs of one stratum lie inside their ranges, percent; None where nothing was measured."""

    like: str
    runs: int
    tpot: float | None
    ttft: float | None
    output_tok_s: float | None


ALL = "all"


def held(runs: Sequence[MeasuredRun], found: Sequence[Ranges]) -> list[Held]:
    """By what the runs were like, all of them first; 90 is what the ranges are meant to hold."""
    inside: dict[str, list[dict[str, bool]]] = {ALL: []}
    for run, ends in zip(runs, found, strict=True):
        measured = {"tpot": run.row.tpot_ms, "ttft": run.row.ttft_ms, "output_tok_s": run.row.output_tok_s}
        known = {
            metric: low <= measured[metric] <= high
            for metric, (low, high) in (("tpot", ends.tpot), ("ttft", ends.ttft), ("output_tok_s", ends.output_tok_s))
            if math.isfinite(measured[metric] + low + high)
        }
        for name in (ALL, ends.like or NOTHING):
            inside.setdefault(name, []).append(known)
    return [
        Held(name, len(of), *(_percent([one[m] for one in of if m in one]) for m in ("tpot", "ttft", "output_tok_s")))
        for name, of in sorted(inside.items(), key=lambda item: (item[0] != ALL, item[0]))
    ]


def _percent(inside: Sequence[bool]) -> float | None:
    return 100 * sum(inside) / len(inside) if inside else None


def held_text(found: Sequence[Held]) -> str:
    """The shares as text."""
    lines = [f"{'inside the 5-95 % interval, %':<66}{'runs':>6}{'TPOT':>7}{'TTFT':>7}{'tokens/s':>10}"]
    for one in found:
        cells = ["-" if value is None else f"{value:.0f}" for value in (one.tpot, one.ttft, one.output_tok_s)]
        lines.append(f"{one.like:<66}{one.runs:>6}{cells[0]:>7}{cells[1]:>7}{cells[2]:>10}")
    return "\n".join(lines)
