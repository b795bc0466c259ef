"""The smallest change of one fact or weight under which a strategy that is worse would be the best."""

from __future__ import annotations

from dataclasses import dataclass

from optimizer.explain.common.numbers import is_share
from optimizer.explain.uniform.switch import best, knobs, narrowed, outward
from optimizer.facts.errors import ProblemError
from optimizer.facts.problem import Problem
from optimizer.reading.stated import Stated
from optimizer.results.answer import Change, Fixed
from optimizer.search.uniform.quantities import ObjectiveWeights
from optimizer.search.uniform.winner import Winner, fits, winner

FLIP_STEPS = (1.1, 1.5, 3.0)


@dataclass(frozen=True, slots=True)
class Flip:
    """A change of one fact or weight under which the foil wins; ``not_yet`` is the nearest value asked at which not."""

    change: Change
    not_yet: float | None
    sentence: str


def smallest_flip(problem: Problem, stated: Stated, fixed: Fixed) -> Flip | None:
    """The relatively smallest change of one fact under which the foil is the best strategy, else of a weight."""

    def before(there: Winner | None) -> bool:
        return there is None or not fits(there.strategy, fixed)

    now = winner(problem)
    for position, factor in enumerate(FLIP_STEPS):
        flips = []
        for knob in knobs(stated, problem):
            for up in (False, True):
                values = outward(knob, up, FLIP_STEPS[: position + 1])
                if len(values) <= position:
                    continue
                asked, there = best(knob.set(values[-1]), now)
                if asked and not before(there):
                    inside = values[-2] if position else knob.value
                    flips.append((knob, narrowed(knob, before, inside, values[-1], there, now)))
        if flips:
            knob, switch = min(flips, key=lambda f: max(f[1].outside / f[0].value, f[0].value / f[1].outside))
            assert switch.there is not None and factor
            said = _flip_words(knob.words, knob.unit, knob.value, switch.inside, switch.outside, switch.there)
            return Flip(Change(knob.field, knob.value, switch.outside), switch.inside, said)
    return _gpu_weight(problem, stated, fixed) or _penalty(problem, stated, fixed)


def _gpu_weight(problem: Problem, stated: Stated, fixed: Fixed) -> Flip | None:
    """What a GPU in use would have to count for the foil to win, when it uses fewer; whole milliseconds."""
    now, foil, top = problem.objective.gpu_ms or 0.0, winner(problem, fixed), winner(problem)
    if foil is None or top is None or foil.strategy.gpus >= top.strategy.gpus:
        return None
    saved = top.strategy.gpus - foil.strategy.gpus
    value = int(now + (foil.objective_ms - top.objective_ms) / saved) + 1
    if value <= now:
        return None  # By time the foil is ahead already: what the preset asks for first decides, which no weight outweighs.
    there = _winner_with(stated, "objective.gpu_ms", value)
    if there is None or not fits(there.strategy, fixed):
        return None
    said = _flip_words("the weight of one GPU in use (objective.gpu_ms)", "ms", now, now, value, there)
    return Flip(Change("objective.gpu_ms", now, value), now, said)


def _penalty(problem: Problem, stated: Stated, fixed: Fixed) -> Flip | None:
    """What an unserved request would have to count for the foil to win, when it serves more of them; whole milliseconds."""
    foil, top, now = winner(problem, fixed), winner(problem), ObjectiveWeights.of(problem.objective).penalty_ms
    if foil is None or top is None:
        return None
    fewer = top.terms["unserved"] - foil.terms["unserved"]
    rest = foil.objective_ms - top.objective_ms + fewer
    if fewer <= 0 or rest <= 0:
        return None
    value = int(now * rest / fewer) + 1
    if value <= now:
        return None
    there = _winner_with(stated, "objective.unserved_penalty_ms", value)
    if there is None or not fits(there.strategy, fixed):
        return None
    words = "what an unserved request counts (objective.unserved_penalty_ms)"
    said = _flip_words(words, "ms", now, now, value, there)
    return Flip(Change("objective.unserved_penalty_ms", now, value), now, said)


def _winner_with(stated: Stated, field: str, value: float) -> Winner | None:
    """What is best with a weight; None where nothing is, or where no file may state that weight."""
    try:
        return winner(stated.changed({field: value}).problem())
    except ProblemError:
        return None


def _flip_words(words: str, unit: str, now: float, inside: float, outside: float, there: Winner) -> str:
    def said(value: float) -> str:
        if is_share(unit):
            return f"{value:.1%} {unit}"
        return f"{value:,.0f} {unit}" if value >= 10_000 else f"{value:,.6g} {unit}"

    name = there.strategy.label
    bracket = "" if inside == now else f" (not yet at {said(inside)})"
    moved = f"{words} {said(outside)} instead of {said(now)}{bracket}"
    return f"The smallest change that was found for it to win: {moved}; then {name} is best."


def no_flip() -> str:
    """What was asked where nothing makes the foil win."""
    return (
        "No change of a single fact (bandwidth, request rate, prompt and output length, failure rates, each from a "
        "third to three times its value) or weight (of a GPU in use, of an unserved request, as large as may be stated) makes it win."
    )
