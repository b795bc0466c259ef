"""Why not that strategy: not allowed (its conflict), worse (term by term), a tie (the tie-break), or it is the best.

The foil is any subset of decisions; the rest is chosen as well as possible. With it comes the smallest change of one fact
or weight under which the foil would win.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from optimizer.costs.breakdown import breakdown
from optimizer.explain.common.fixed import fixed_words, plain
from optimizer.explain.common.numbers import count, milliseconds
from optimizer.explain.uniform.choice import winners_confirmed
from optimizer.explain.uniform.conflict import find_conflicts
from optimizer.explain.uniform.flip import Flip, no_flip, smallest_flip
from optimizer.explain.uniform.infeasible import solved_again
from optimizer.explain.uniform.outside import NOT_TRIED, fields_outside
from optimizer.explain.uniform.repair import changed_stated, find_repairs
from optimizer.explain.uniform.why import TERM_WORDS
from optimizer.explain.uniform.wide import WideSearch
from optimizer.facts.demand import FEWEST
from optimizer.facts.problem import Problem
from optimizer.reading.stated import Stated
from optimizer.results.answer import Change, Conflict, Fixed, Repair, Strategy, Verification
from optimizer.search.uniform.capacity import RATE_STEP_PER_S
from optimizer.search.uniform.quantities import Quantities
from optimizer.search.uniform.space import build_space
from optimizer.search.uniform.winner import Winner, fits, layout, winner

Verdict = Literal["not allowed", "worse", "tie", "best", "no optimum"]
SIGNIFICANT_MS = 1e-6


@dataclass(frozen=True, slots=True)
class WhyNot:
    """Outcome for a foil. Differences are the foil's minus the optimum's, in ms; positive: the foil is worse."""

    problem: str
    verdict: Verdict
    foil: Strategy | None
    optimum: Strategy | None
    difference_ms: float | None
    difference_terms: dict[str, float]
    decided_by: str | None
    conflicts: tuple[Conflict, ...]
    repairs: tuple[Repair, ...]
    flip: Flip | None
    sentences: tuple[str, ...]
    verification: Verification | None = None
    """Of foil and optimum, every number recomputed; None where there is neither."""


def why_not(problem: Problem, stated: Stated, fixed: Fixed) -> WhyNot:
    """The verdict on a foil, foil and optimum verified.

    Args:
        problem: as stated.
        stated: its file, so that changes name its fields.
        fixed: the foil's decisions; at least one.
    """
    foil, top = winner(problem, fixed), winner(problem)
    found = _verdict(problem, stated, fixed, foil, top)
    return replace(found, verification=winners_confirmed((foil, fixed), (top, None)))


def _verdict(problem: Problem, stated: Stated, fixed: Fixed, foil: Winner | None, top: Winner | None) -> WhyNot:
    if foil is None:
        return _not_allowed(problem, stated, fixed, top)
    if top is None:
        said = [
            f"{_name(foil)} keeps every rule, but it was outside what may be considered ({_outside(problem, fixed)})."
        ]
        return WhyNot(problem.name, "no optimum", foil.strategy, None, None, {}, None, (), (), None, tuple(said))
    if fits(top.strategy, fixed):
        said = [f"{top.strategy.label} is the best strategy itself: nothing speaks against {fixed_words(fixed)}."]
        return WhyNot(problem.name, "best", foil.strategy, top.strategy, 0.0, {}, None, (), (), None, tuple(said))
    terms = {name: foil.terms[name] - value for name, value in top.terms.items()}
    difference = foil.objective_ms - top.objective_ms
    outside = foil.tiers < top.tiers
    flip = None if outside else smallest_flip(problem, stated, fixed)
    name = _name(foil)
    if foil.tiers == top.tiers:
        said = [f"{name} is a tie with {_name(top)}: {_tie_break(foil.strategy, top.strategy)}."]
        verdict: Verdict = "tie"
        decided = "tie-break"
    elif outside:
        said = [f"{name} would be better, but it was outside what may be considered ({_outside(problem, fixed)})."]
        verdict, decided = "not allowed", "search limit"
        flip, instead = _candidate(problem, stated, foil.strategy)
        said += [instead] if instead else []
    else:
        verdict, decided, said = "worse", *_worse(problem, foil, top, terms, difference, name)
    said += [flip.sentence] if flip is not None else [] if outside else [no_flip()]
    return WhyNot(
        problem.name, verdict, foil.strategy, top.strategy, difference, terms, decided, (), (), flip, tuple(said)
    )


def _not_allowed(problem: Problem, stated: Stated, fixed: Fixed, top: Winner | None) -> WhyNot:
    wide = WideSearch(stated, problem, fixed)
    quantities = Quantities(problem, build_space(problem, fixed))
    repairs = find_repairs(wide, solved_again, most=3)
    conflicts = find_conflicts(quantities, fixed, wide, repairs=repairs)
    said = [f"Not allowed. {conflict.sentence}" for conflict in conflicts]
    said += [_allowed_by(repairs, stated, fixed)] if repairs else []
    if not repairs:
        said.append(
            "No change that was considered would allow it: a rule of the model or the engine stands against it."
        )
    optimum = top.strategy if top is not None else None
    return WhyNot(problem.name, "not allowed", None, optimum, None, {}, None, conflicts, repairs, None, tuple(said))


def _allowed_by(repairs: Sequence[Repair], stated: Stated, fixed: Fixed) -> str:
    """Which repair makes the foil the best, and what is best where it is only allowed; asked until one makes it win."""
    parts = []
    for number, repair in enumerate(repairs, start=1):
        there = winner(changed_stated(stated, repair).problem())
        won = there is not None and fits(there.strategy, fixed)
        then = "and best" if won or there is None else f"but {there.strategy.label} is best then"
        parts.append(f"with repair {number} it is allowed, {then}")
        if won:
            break
    said = "; ".join(parts)
    return f"{said[0].upper()}{said[1:]}."


def _candidate(problem: Problem, stated: Stated, foil: Strategy) -> tuple[Flip | None, str]:
    """The search limit to widen so that the foil is considered and best; or a sentence on what is best then instead."""
    instead = ""
    search, model = problem.search, problem.model
    lists: dict[str, tuple[tuple[object, ...] | None, object]] = {
        "search.tensor_parallel": (search.tensor_parallel, foil.tensor_parallel),
        "search.pipeline_parallel": (search.pipeline_parallel, foil.pipeline_parallel),
        "search.data_parallel": (search.data_parallel, foil.data_parallel),
        "search.weight_precision": (search.weight_precision or (model.native_weight_format,), foil.weight_precision),
        "search.kv_precision": (search.kv_precision or (model.native_kv_format,), foil.kv_precision),
        "search.expert_parallel": ((search.expert_parallel,), "any"),
        "search.decode_context_parallel": (search.decode_context_parallel, foil.decode_context_parallel),
    }
    for field, (offered, wanted) in lists.items():
        if offered is None or wanted in offered:
            continue
        value: object = "any" if field == "search.expert_parallel" else [*offered, wanted]
        there = winner(stated.changed({field: value}).problem())
        if there is not None and layout(there.strategy) == layout(foil):
            change = Change(field, stated.value(field), value)
            said = f"The smallest change for it to win: set {field} to {plain(value)}, so that it is considered."
            return Flip(change, None, said), ""
        if there is not None:
            instead = f"With {field} set to {plain(value)} the best strategy is {there.strategy.label}, not this one."
    return None, instead


def _worse(
    problem: Problem, foil: Winner, top: Winner, terms: dict[str, float], difference: float, name: str
) -> tuple[str, list[str]]:
    """(the term that decides, sentences)."""
    best_name = top.strategy.label
    preset = problem.objective.preset
    if foil.tiers[0] != top.tiers[0] and preset in FEWEST:
        more = foil.strategy.gpus - top.strategy.gpus
        return "GPUs in use", [
            f"{name} uses {foil.strategy.gpus} GPUs, {more} more than {best_name}; the preset asks for the fewest first."
        ]
    if foil.tiers[0] != top.tiers[0] and preset == "throughput":
        output = problem.workload.output_tokens
        rates = [-tier / 1e6 * output for tier in (foil.tiers[0], top.tiers[0])]
        return "peak tokens/s", [
            f"{name} reaches {rates[0]:,.0f} tokens/s at most, {best_name} {rates[1]:,.0f}; the preset asks for the most first."
        ]
    if foil.tiers[0] != top.tiers[0] and preset == "capacity":
        rates = [-tier * RATE_STEP_PER_S for tier in (foil.tiers[0], top.tiers[0])]
        return "requests/s within all limits", [
            f"{name} carries {rates[0]:g} requests/s within all limits, {best_name} {rates[1]:g}; the preset asks for the most first."
        ]
    decided = max(terms, key=lambda term: terms[term])
    parts = [
        f"{'+' if value > 0 else '−'}{milliseconds(abs(value))} {TERM_WORDS[term]}"
        for term, value in terms.items()
        if abs(value) >= SIGNIFICANT_MS
    ]
    said = [
        f"{name} is worse than {best_name}: {milliseconds(foil.objective_ms)} against {milliseconds(top.objective_ms)} expected "
        f"per request, {milliseconds(difference)} more ({', '.join(parts)}).",
        f"The term that decides is the {TERM_WORDS[decided]}.",
    ]
    return TERM_WORDS[decided], said + (_where(problem, foil, top) if decided == "served" else [])


def _where(problem: Problem, foil: Winner, top: Winner) -> list[str]:
    """Where the time of served requests begins to differ: the largest term of a decode step, and of a prefill."""
    tables = []
    for one in (foil, top):
        shape = one.quantities.space.shapes[int(one.quantities.space.row_shape[one.choice.row])]
        progress = int(one.quantities.normal.n50[one.choice.row])
        tables.append((breakdown(problem, shape, one.choice.max_num_seqs, progress), progress))
    (mine, here), (theirs, there) = tables
    said = []
    for key, what in (("decode_ms", "A token for every running sequence"), ("prefill_ms", "A prompt")):
        names = [*mine[key], *[term for term in theirs[key] if term not in mine[key]]]
        change = {term: mine[key].get(term, 0.0) - theirs[key].get(term, 0.0) for term in names}
        total, term = sum(change.values()), max(change, key=lambda t: change[t])
        if change[term] > 0 and total > 0:
            at = f" ({here} in progress per replica against {there})" if key == "decode_ms" else ""
            said.append(
                f"{what} takes {milliseconds(total)} more{at}, most of it {term} (+{milliseconds(change[term])})."
            )
    return said


def _name(foil: Winner) -> str:
    s = foil.strategy
    return f"{s.label} with {count(s.max_num_seqs, 'sequence')} per replica, {s.weight_precision} weights and {s.kv_precision} KV cache"


def _outside(problem: Problem, fixed: Fixed) -> str:
    """Which search limits keep the foil out."""
    return ", ".join(fields_outside(problem, fixed)) or NOT_TRIED


def _tie_break(foil: Strategy, top: Strategy) -> str:
    """The first criterion of the stated tie-break that tells the two apart."""
    for words, left, right in (
        ("fewer GPUs", foil.gpus, top.gpus),
        ("smaller PP", foil.pipeline_parallel, top.pipeline_parallel),
        ("smaller TP", foil.tensor_parallel, top.tensor_parallel),
        ("smaller EP", foil.expert_parallel, top.expert_parallel),
        ("experts over fewer replicas", foil.expert_slice_ranks, top.expert_slice_ranks),
        ("contexts over fewer ranks", foil.decode_context_parallel, top.decode_context_parallel),
        ("the wider weight format", foil.weight_precision, top.weight_precision),
        ("the wider KV format", foil.kv_precision, top.kv_precision),
        ("the more even layer split", foil.layers_per_stage, top.layers_per_stage),
    ):
        if left != right:
            return f"equal to the nanosecond, the tie-break prefers {words}"
    return "equal to the nanosecond, the tie-break prefers the larger max_num_seqs"
