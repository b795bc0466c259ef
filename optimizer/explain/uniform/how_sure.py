"""How sure the answer is: over which range of each uncertain fact it stays the best, and what it switches to beyond."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from optimizer.explain.common.numbers import is_share, listing
from optimizer.explain.uniform.choice import winners_confirmed
from optimizer.explain.uniform.switch import Knob, Switch, find_switch, knobs
from optimizer.facts.problem import Problem
from optimizer.reading.stated import Stated
from optimizer.results.answer import Strategy, Verification
from optimizer.search.uniform.winner import Winner, layout, winner


@dataclass(frozen=True, slots=True)
class Range:
    """One fact: its value, the ends asked about (or switched at), and where the answer changes on either side."""

    knob: Knob
    low: float
    high: float
    below: Switch | None
    above: Switch | None

    @property
    def nearest(self) -> float | None:
        """Relative distance to the nearer switch; None when there is none."""
        near = [
            max(switch.outside / self.knob.value, self.knob.value / switch.outside) - 1
            for switch in (self.below, self.above)
            if switch
        ]
        return min(near) if near else None


@dataclass(frozen=True, slots=True)
class HowSure:
    """``strategy`` None: no strategy keeps every rule, and the ranges say where that changes."""

    problem: str
    strategy: Strategy | None
    ranges: tuple[Range, ...]
    sentences: tuple[str, ...]
    verification: Verification | None = None
    """Of the strategy, every number recomputed; None where there is none."""


def how_sure(problem: Problem, stated: Stated, progress: Callable[[str], None] | None = None) -> HowSure:
    """Ranges of every uncertain fact. A changed number of slots (max_num_seqs) alone is no switch.

    Args:
        progress: told what is being asked.
    """
    now = winner(problem)
    name = now.strategy.label if now is not None else "no strategy"

    def holds(there: Winner | None) -> bool:
        if now is None or there is None:
            return now is None and there is None
        return layout(there.strategy) == layout(now.strategy)

    ranges = []
    for knob in knobs(stated, problem):
        if progress is not None:
            progress(knob.words)
        below, low = find_switch(knob, holds, False, now)
        above, high = find_switch(knob, holds, True, now)
        ranges.append(Range(knob, below.inside if below else low, above.inside if above else high, below, above))
    ranges.sort(key=lambda r: (r.nearest is None, r.nearest or 0.0))
    said = [f"{name} is the answer now." if now else "No strategy keeps every rule now."]
    near = [r for r in ranges if r.nearest is not None]
    said += [_nearest(near[0])] if near else ["It stays so over every range asked about."]
    said += [range_sentence(r, "the answer stays" if now else "no strategy exists") for r in ranges]
    confirmed = winners_confirmed((now, None))
    return HowSure(problem.name, now.strategy if now else None, tuple(ranges), tuple(said), confirmed)


def _nearest(found: Range) -> str:
    switches = [switch for switch in (found.below, found.above) if switch]
    value = found.knob.value
    switch = min(switches, key=lambda s: max(s.outside / value, value / s.outside))
    return (
        f"The nearest switch point: {found.knob.words} between {_value(found.knob, switch.inside)} and "
        f"{_value(found.knob, switch.outside)} (now {_value(found.knob, value)}); beyond it {_there(switch)}."
    )


def range_sentence(found: Range, what: str) -> str:
    """The range of one fact over which ``what`` holds, with the bracket of each switch."""
    knob = found.knob
    parts = []
    for switch, end, side in ((found.below, found.low, "down"), (found.above, found.high, "up")):
        if switch is None:
            if end != knob.value:
                parts.append(f"{side} to {_value(knob, end)} (nothing further was asked)")
            else:
                parts.append(f"no further {side} (the other facts do not allow it)")
        else:
            beyond = f"{'below' if side == 'down' else 'above'} it, at {_value(knob, switch.outside)}, {_there(switch)}"
            parts.append(f"{side} to {_value(knob, switch.inside)} ({beyond})")
    name = knob.words[0].upper() + knob.words[1:]
    return f"{name} (now {_value(knob, knob.value)}): {what} {listing(parts)}."


def _there(switch: Switch) -> str:
    if switch.there is None:
        return "no strategy keeps every rule"
    s = switch.there.strategy
    return f"{s.label} ({s.weight_precision} weights, {s.kv_precision} KV cache, {s.gpus} GPUs) is best"


def _value(knob: Knob, value: float) -> str:
    if is_share(knob.unit):
        return f"{value:.1%} {knob.unit}"
    if knob.whole:
        return f"{int(value):,} {knob.unit}"
    return f"{value:,.4g} {knob.unit}" if value < 1000 else f"{value:,.0f} {knob.unit}"
