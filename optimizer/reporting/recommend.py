"""Recommendations: changes that were each solved again, with what they gain. Nothing is advised that was not computed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from optimizer.explain.common.numbers import milliseconds
from optimizer.explain.uniform.relaxations import make, relaxations_of
from optimizer.explain.uniform.why_this import Worth, why_this
from optimizer.facts.problem import Problem
from optimizer.reading.stated import Stated
from optimizer.reporting.ledger import share
from optimizer.results.answer import Answer, CheckAnswer, Strategy
from optimizer.search.uniform.evaluate import metrics_of
from optimizer.search.uniform.winner import Winner, winner

WORTH_MS = 1e-3
"""Gains per request below this are nothing."""
MARGIN = 0.15
MOST_ROWS = 2_500
"""Layouts up to which every change is solved again; each takes as long as comparing all of them."""
MORE_NODES = 3


@dataclass(frozen=True, slots=True)
class Advice:
    """One change: its words, the fields of the problem file it sets, and the strategy that is best then.

    ``before_ms`` and ``after_ms`` are objectives per request; None where they cannot be compared.
    """

    words: str
    changes: Mapping[str, Any]
    strategy: Strategy | None
    before_ms: float | None
    after_ms: float | None
    effect: str = ""


@dataclass(frozen=True, slots=True)
class Recommendations:
    """Advice, the changes that were solved again too and gain nothing, and what stands against anything better."""

    advice: tuple[Advice, ...]
    nothing: tuple[str, ...] = ()
    against: tuple[str, ...] = ()


def advice_of(problem: Problem, stated: Stated, answer: Answer) -> Recommendations:
    """Switching to the optimum, repairs, what each limit is worth, narrower formats, and surviving a loss."""
    found = [*_switch(answer), *_repairs(answer)]
    top = winner(problem)
    if top is None:
        return Recommendations(tuple(found))
    if top.quantities.space.rows > MOST_ROWS:
        found += _survival(problem, stated, top)
        said = (
            f"There are {top.quantities.space.rows:,} layouts to compare, so what each limit is worth, and what other formats would gain, "
            "was not solved again here; optimizer why-this does."
        )
        return Recommendations(tuple(found), against=(said,))
    why = why_this(problem, stated)
    worths = why.worths
    found += [_worth(worth, top) for worth in worths if (worth.gain_ms or 0) > WORTH_MS or (worth.gain_first or 0) > 0]
    found += _candidates(problem, stated, top)
    found += _survival(problem, stated, top)
    found += _margin(problem, stated, top)
    nothing = [w.words for w in worths if w.gain_ms is not None and abs(w.gain_ms) <= WORTH_MS and not w.gain_first]
    return Recommendations(tuple(found), tuple(nothing), tuple(one.sentence for one in why.against))


def _worth(worth: Worth, top: Winner) -> Advice:
    first = f"{worth.gain_first:,.1f} {worth.first_unit} gained, which count first" if worth.gain_first else ""
    return Advice(
        f"If there were {worth.words}", worth.changes, worth.strategy, top.objective_ms, worth.objective_ms, first
    )


def _switch(answer: Answer) -> list[Advice]:
    """The best strategy instead of the one that was checked."""
    if not isinstance(answer, CheckAnswer) or answer.optimum is None or answer.optimum.strategy is None:
        return []
    best, strategy = answer.optimum, answer.optimum.strategy
    if strategy == answer.strategy or best.objective is None or answer.objective is None:
        return []
    words = f"Run {strategy.label} with {strategy.max_num_seqs} sequences per replica instead"
    return [Advice(words, {}, strategy, answer.objective.value, best.objective.value, _latency_words(answer, best))]


def _latency_words(answer: Answer, best: Answer) -> str:
    said = []
    for name, words in (("prefill_p99_ms", "prefill P99"), ("ttft_p99_ms", "TTFT P99"), ("tpot_p99_ms", "TPOT P99")):
        before, after = getattr(answer.metrics, name), getattr(best.metrics, name)
        if after is not None:
            was = "one that piles up" if before is None else milliseconds(before)
            said.append(f"{words} {milliseconds(after)} instead of {was}")
    return ", ".join(said)


def _repairs(answer: Answer) -> list[Advice]:
    return [
        Advice(
            repair.sentence,
            {change.field: change.new for change in repair.changes},
            repair.result,
            None,
            None,
            "every rule holds then; the least such change",
        )
        for repair in answer.repairs
    ]


def _again(stated: Stated, changes: Mapping[str, Any], top: Winner) -> Winner | None:
    changed = make(stated, changes)
    return winner(changed, near=top.quantities) if changed is not None else None


def _resolved(words: str, changes: Mapping[str, Any], there: Winner, top: Winner, effect: str = "") -> Advice:
    return Advice(words, changes, there.strategy, top.objective_ms, there.objective_ms, effect)


def _candidates(problem: Problem, stated: Stated, top: Winner) -> list[Advice]:
    """Formats and degrees that the problem does not offer yet."""
    found = []
    for relaxation in relaxations_of(stated, problem, None):
        if relaxation.kind != "candidate" or relaxation.full is None:
            continue
        there = _again(stated, relaxation.full, top)
        if there is None or top.objective_ms - there.objective_ms <= WORTH_MS:
            continue
        narrower = any("precision" in field for field in relaxation.full)
        effect = (
            "a narrower format changes the model's answers; their quality has to be judged apart" if narrower else ""
        )
        found.append(_resolved(f"Offer {relaxation.id} to the search", relaxation.full, there, top, effect))
    return found


def _survival(problem: Problem, stated: Stated, top: Winner) -> list[Advice]:
    """What it takes to carry the demand through the loss of one GPU, and of one node."""
    found = []
    for level, part in (("gpu", "GPU"), ("node", "node")):
        if getattr(problem.requirements.survive, level):
            continue
        changes = {f"requirements.survive.{level}": 1}
        there = _again(stated, changes, top)
        if there is not None:
            same = there.strategy == top.strategy
            effect = "the best strategy keeps that already" if same else "every limit then holds through the loss"
            found.append(_resolved(f"Ask that any one {part} may fail", changes, there, top, effect))
            continue
        found += _with_nodes(problem, stated, changes, top, part)
    return found


def _with_nodes(problem: Problem, stated: Stated, changes: Mapping[str, Any], top: Winner, part: str) -> list[Advice]:
    """The fewest further nodes with which a loss is survived."""
    for nodes in range(problem.hardware.nodes + 1, problem.hardware.nodes + 1 + MORE_NODES):
        both = {**changes, "hardware.nodes": nodes}
        there = _again(stated, both, top)
        if there is not None:
            served = share(metrics_of(there.quantities, there.choice).availability)
            effect = f"{there.strategy.gpus} GPUs in use, {served} of requests served; with the nodes there are no strategy does"
            return [_resolved(f"Take {nodes} nodes to survive the loss of any one {part}", both, there, top, effect)]
    return []


def _margin(problem: Problem, stated: Stated, top: Winner) -> list[Advice]:
    """Planning against the prediction error."""
    if problem.requirements.margin or not problem.requirements.latency_limits:
        return []
    changes = {"requirements.margin": MARGIN}
    there = _again(stated, changes, top)
    if there is None or there.strategy == top.strategy:
        return []
    return [
        _resolved(f"Plan every latency limit {MARGIN:.0%} short", changes, there, top, "room for prediction errors")
    ]
