"""The public check: is the answer true, and is its optimum one?"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from optimizer.facts.demand import FEWEST
from optimizer.facts.problem import Problem
from optimizer.results.answer import Answer, CheckAnswer, Fixed, Strategy, Verification
from optimizer.verify.common.arithmetic import decimal, sixty_digits
from optimizer.verify.common.candidate import Candidate, RowFacts
from optimizer.verify.common.claims import check_metrics, check_objective, check_rules, check_strategy
from optimizer.verify.common.float_times import TimedShapes
from optimizer.verify.common.groups import Row, row_of
from optimizer.verify.common.ledger import RELATIVE, THOUSANDTH, TWO_NANOSECONDS, CheckLedger
from optimizer.verify.common.objective import Value, weights_of
from optimizer.verify.common.rules import Finding, barely_holds, clearly_holds, findings
from optimizer.verify.common.space import count_rows, most_slots, rows
from optimizer.verify.common.stage import Stages
from optimizer.verify.uniform.float_candidate import FloatBar, Survey, survey
from optimizer.verify.uniform.ranges import RangeSurvey, has_ranges
from optimizer.verify.uniform.shared import SharedSurvey

MOST_CANDIDATES = 1_000_000
"""Larger spaces are not enumerated."""
RESOLUTION_MS = Decimal("0.00002")


@sixty_digits()
def verify_answer(
    problem: Problem,
    answer: Answer,
    fixed: Fixed = Fixed(),
    *,
    exhaustive: bool = True,
    shared: SharedSurvey | None = None,
    keep: Callable[[TimedShapes], None] | None = None,
) -> Verification:
    """Recompute every claim of an answer from the facts, and confirm an optimum or an infeasibility by enumeration.

    Args:
        problem: what was asked.
        answer: what is claimed; its own ``verification`` is ignored.
        fixed: decisions that a person fixed.
        exhaustive: False leaves out the comparison with other candidates. Of a space of more than ``MOST_CANDIDATES`` ranges
            of replica counts are compared (``ranges``); where these have no bounds it is left out by itself.
        shared: tables of problems alike, this one among them; with them any space is enumerated. Nothing may be fixed.
        keep: is given the tables of a large space, for whoever asks more about the same problem.

    Returns:
        Every disagreement with expected and actual. ``optimality`` is ``exhaustive``, ``bound`` (claimed, not
        enumerated), ``not claimed`` or ``refuted``.
    """
    if shared is not None and (fixed != Fixed() or not shared.serves(problem)):
        raise ValueError("the tables are those of other problems")
    ledger, stages = CheckLedger(), Stages(problem) if shared is None else shared.stages
    claim = None
    if answer.strategy is not None:
        claim = _check_claims(ledger, problem, answer, answer.strategy, fixed, stages)
    else:
        settled = answer.status in ("infeasible", "unknown")
        ledger.that("status", settled, "a strategy, or status infeasible or unknown", answer.status)
        ledger.that("metrics", answer.metrics is None, "none without a strategy", answer.metrics)
        ledger.that("objective", answer.objective is None, "none without a strategy", answer.objective)
    optimal = answer.status == "optimal" and claim is not None
    infeasible = answer.status == "infeasible" and answer.strategy is None
    optimality, seen = "not claimed", Survey()
    if optimal or infeasible:
        optimality = "bound"
        if shared is not None:
            seen, refuted = _enumerate(ledger, problem, lambda bar: shared.survey(problem, bar), claim, stages)
            return _verification(problem, ledger, "refuted" if refuted else "exhaustive", seen)
        search = _survey_of(problem, fixed, stages, keep) if exhaustive else None
        if search is not None:
            seen, refuted = _enumerate(ledger, problem, search, claim, stages)
            optimality = "refuted" if refuted else "exhaustive"
    return _verification(problem, ledger, optimality, seen)


def _survey_of(
    problem: Problem, fixed: Fixed, stages: Stages, keep: Callable[[TimedShapes], None] | None
) -> Callable[[FloatBar | None], Survey] | None:
    """What goes through the space: every row of a small one, ranges of replica counts of a large one; None: too large."""
    if count_rows(problem, fixed) * most_slots(problem, fixed) <= MOST_CANDIDATES:
        offered = list(rows(problem, fixed))
        return lambda bar: survey(problem, fixed, offered, stages, bar)
    if fixed == Fixed() and has_ranges(problem):
        found = RangeSurvey(problem, stages)
        if keep is not None and found.shapes:
            keep(TimedShapes(found.shapes, found.times))
        return found.survey
    return None


def _verification(problem: Problem, ledger: CheckLedger, optimality: str, seen: Survey) -> Verification:
    passed, resolution = not ledger.mismatches, _resolution_in_words(problem)
    mismatches = tuple(ledger.mismatches)
    return Verification(
        passed, ledger.checks, optimality, seen.candidates, resolution, mismatches, seen.compared, dict(seen.ruled_out)
    )


class _Claim:
    """The strategy of an answer with everything that its comparison with others needs."""

    def __init__(self, problem: Problem, candidate: Candidate, value: Value) -> None:
        self.candidate, self.value = candidate, value
        self.tier = _tier(problem, candidate)


def _check_claims(
    ledger: CheckLedger, problem: Problem, answer: Answer, strategy: Strategy, fixed: Fixed, stages: Stages
) -> _Claim | None:
    """What an answer says about its own strategy; None when nothing can be computed from it."""
    if not check_strategy(ledger, problem, strategy, fixed):
        return None
    candidate = Candidate(RowFacts(problem, row_of(strategy), stages), strategy.max_num_seqs)
    found, value = list(findings(candidate)), candidate.value()
    check_rules(ledger, candidate, found, answer.rules)
    if answer.metrics is not None:
        check_metrics(ledger, candidate, value, answer.metrics)
    if answer.objective is not None:
        scale = weights_of(problem.objective).latency
        check_objective(ledger, problem, value, scale, answer.objective, answer.status)
    if not isinstance(answer, CheckAnswer):
        ledger.that("metrics", answer.metrics is not None, "metrics of the strategy", answer.metrics)
        ledger.that("objective", answer.objective is not None, "objective of the strategy", answer.objective)
    _check_feasibility(ledger, candidate, found, answer)
    ledger.same("cost_source", problem.cost_source, answer.cost_source)
    return _Claim(problem, candidate, value)


def _check_feasibility(ledger: CheckLedger, candidate: Candidate, found: list[Finding], answer: Answer) -> None:
    """The status says what the rules say."""
    enabled = [rule for rule in found if rule.id not in candidate.problem.search.disabled_rules]
    broken = [rule.id for rule in enabled if not barely_holds(candidate, rule)]
    unclear = [rule.id for rule in enabled if not clearly_holds(candidate, rule)]
    feasible = answer.status in ("optimal", "feasible")
    if feasible or not isinstance(answer, CheckAnswer):
        ledger.that("status", feasible and not broken, f"rules broken: {', '.join(broken) or 'none'}", answer.status)
    if isinstance(answer, CheckAnswer) and answer.feasible is not None:
        agrees = not broken if answer.feasible else bool(unclear)
        ledger.that("feasible", agrees and (feasible or not answer.feasible), not broken, answer.feasible)


def _enumerate(
    ledger: CheckLedger,
    problem: Problem,
    search: Callable[[FloatBar | None], Survey],
    claim: _Claim | None,
    stages: Stages,
) -> tuple[Survey, bool]:
    """Look for a candidate that beats the claim (any feasible one, where none is claimed to be); True: found."""
    bar = None
    if claim is not None:
        row, slots, value = claim.candidate.row, claim.candidate.slots, claim.value.total
        bar = FloatBar(float(claim.tier), float(value), 0.002, float(_resolution(problem, value)), row, slots)
    seen = search(bar)
    known: dict[Row, RowFacts] = {}
    for _, _, _, row, slots in seen.rivals:
        facts = known.setdefault(row, RowFacts(problem, row, stages))
        rival = Candidate(facts, slots)
        if _beats(problem, rival, claim):
            found = rival.value().total
            what = "optimality" if claim is not None else "status"
            better = rival.row.strategy(slots)
            ledger.that(
                what, False, f"{better} is feasible at {found:.9g} ms", claim.value.total if claim else "infeasible"
            )
            return seen, True
    if bar is not None:
        there = seen.claimed is not None and seen.claimed[2]
        if ledger.that("strategy", there, "a feasible candidate of the space searched", bar.row.strategy(bar.slots)):
            _check_float(ledger, bar, seen)
    return seen, False


def _check_float(ledger: CheckLedger, bar: FloatBar, seen: Survey) -> None:
    """Floats and exact arithmetic agree where both are known; else the enumeration proves nothing."""
    tier, value, _ = seen.claimed or (0.0, 0.0, False)
    close = abs(tier - bar.tier) <= bar.tier_resolution and abs(value - bar.value_ms) <= bar.resolution_ms
    ledger.that("enumeration", close or value == float("-inf"), (bar.tier, bar.value_ms), (tier, value))


def _beats(problem: Problem, rival: Candidate, claim: _Claim | None) -> bool:
    """In exact arithmetic: the rival keeps every rule with room to spare, and is better by more than the resolution."""
    if claim is None:
        return _clearly_feasible(problem, rival)
    if problem.objective.preset == "capacity":  # whose tier is dearer than all rules
        return _clearly_feasible(problem, rival) and _is_better(problem, rival, claim)
    # Most rivals are the claim's equals to within floats, with other limits on sequences.
    return _is_better(problem, rival, claim) and _clearly_feasible(problem, rival)


def _clearly_feasible(problem: Problem, rival: Candidate) -> bool:
    off = problem.search.disabled_rules
    return all(rule.id in off or clearly_holds(rival, rule) for rule in findings(rival))


def _is_better(problem: Problem, rival: Candidate, claim: _Claim) -> bool:
    ahead = claim.tier - _tier(problem, rival)
    preset = problem.objective.preset
    noise = THOUSANDTH + abs(claim.tier) * TWO_NANOSECONDS if preset == "throughput" else Decimal(0)
    noise = THOUSANDTH if preset == "capacity" else noise
    if ahead != 0:
        return ahead > noise
    return rival.value().total < claim.value.total - _resolution(problem, claim.value.total)


def _tier(problem: Problem, candidate: Candidate) -> Decimal:
    """What the preset puts before the objective; lower is better."""
    if problem.objective.preset in FEWEST:
        return Decimal(candidate.row.gpus)
    if problem.objective.preset == "capacity":
        return -decimal(candidate.most_requests())
    if problem.objective.preset == "throughput":
        peak = candidate.completions()[0] * problem.workload.output_tokens
        return -(peak // THOUSANDTH * THOUSANDTH)
    return Decimal(0)


def _resolution(problem: Problem, value: Decimal) -> Decimal:
    """Milliseconds by which two values may differ and still count as equal."""
    return max(RESOLUTION_MS * max(Decimal(1), weights_of(problem.objective).latency), abs(value) * RELATIVE)


def _resolution_in_words(problem: Problem) -> str:
    nanoseconds = (_resolution(problem, Decimal(0)) * 10**6).normalize()
    words = f"times are rounded up to 1 ns and bytes to 1; objectives within {nanoseconds:f} ns count as equal"
    return f"{words}, throughputs within 0.001 tokens/s" if problem.objective.preset == "throughput" else words
