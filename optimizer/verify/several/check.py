"""The public check of an answer about several models: each model recomputed, the places checked, every split that could win compared."""

from __future__ import annotations

from decimal import Decimal

from optimizer.facts.several import ModelEntry, SeveralProblem
from optimizer.results.answer import Fixed, Verification
from optimizer.results.several import ServedShare, SeveralAnswer
from optimizer.verify.common.arithmetic import sixty_digits
from optimizer.verify.common.candidate import Candidate, RowFacts
from optimizer.verify.common.claims import check_metrics, check_rules, check_strategy
from optimizer.verify.common.groups import row_of
from optimizer.verify.common.ledger import RELATIVE, THOUSANDTH, TWO_NANOSECONDS, CheckLedger
from optimizer.verify.common.objective import weights_of
from optimizer.verify.common.rules import barely_holds, clearly_holds, findings
from optimizer.verify.common.stage import Stages
from optimizer.verify.several.candidates import PlacedCandidate, candidates_of
from optimizer.verify.several.compare import Bar, compare, exact_total
from optimizer.verify.several.packing import RoomOnNodes, place_of
from optimizer.verify.several.placed import check_placement

RESOLUTION_MS = Decimal("0.00002")
RESOLUTION = "times are rounded up to 1 ns and bytes to 1; objectives within 20 ns a model count as equal"


@sixty_digits()
def verify_several(problem: SeveralProblem, answer: SeveralAnswer, *, exhaustive: bool = True) -> Verification:
    """Recompute every claim from the facts, and compare an optimum, or none, with every split there is.

    Args:
        exhaustive: False leaves out the comparison.
    """
    ledger = CheckLedger()
    candidates: list[Candidate] = []
    if answer.models:
        names = [one.name for one in problem.models]
        ledger.same("models", names, [one.name for one in answer.models])
        if not ledger.mismatches:
            found = [_check_share(ledger, *pair, answer) for pair in zip(problem.models, answer.models, strict=True)]
            candidates = [one for one in found if one is not None]
        if answer.placement is None and answer.feasible is False:
            _check_no_room(ledger, problem, candidates)
        else:
            check_placement(ledger, problem.hardware, answer)
    else:
        ledger.that("status", answer.status in ("infeasible", "unknown"), "infeasible or unknown", answer.status)
        ledger.that("objective", answer.objective is None, "none without a split", answer.objective)
    bar = _check_objective(ledger, problem, answer, candidates) if len(candidates) == len(problem.models) else None
    judged = answer.feasible is not None
    claims = not judged and (answer.status == "infeasible" or (answer.status == "optimal" and bar is not None))
    optimality, gone_through = ("bound" if claims else "not claimed"), 0
    known = candidates_of(problem) if claims and exhaustive else None
    if known is not None:
        seen, gone_through = compare(problem, known[0], bar), known[1]
        optimality = "exhaustive" if seen.complete else "bound"
        if seen.better is not None:
            optimality = "refuted" if _refute(ledger, problem, answer, seen.better, bar) else "bound"
    return Verification(
        passed=not ledger.mismatches,
        checks=ledger.checks,
        optimality=optimality,
        candidates=gone_through,
        resolution=RESOLUTION,
        mismatches=tuple(ledger.mismatches),
        compared=gone_through,
    )


def _check_no_room(ledger: CheckLedger, problem: SeveralProblem, candidates: list[Candidate]) -> None:
    """What has no placement finds no room, or cannot be computed at all."""
    hardware = problem.hardware
    places = [place_of(one.problem.hardware, one.row) for one in candidates]
    fits = len(places) == len(problem.models) and RoomOnNodes(hardware.nodes, hardware.gpus_per_node).fits(places)
    ledger.that("placement", not fits, "a placement: all find room together", "none")


def _check_share(
    ledger: CheckLedger, served: ModelEntry, share: ServedShare, answer: SeveralAnswer
) -> Candidate | None:
    """What the answer says of one model."""
    with ledger.about(served.name):
        ledger.same("weight", served.weight, share.weight)
        there = type(share.nodes) is int and 1 <= share.nodes <= served.problem.hardware.nodes
        if not ledger.that("nodes", there, "a number of the nodes there are", share.nodes):
            return None
        problem = served.on(share.nodes)
        if not ledger.that("decided", share.decided in problem.variants(), problem.variants(), share.decided):
            return None
        problem = problem.decided(share.decided)
        if not check_strategy(ledger, problem, share.strategy, Fixed()):
            return None
        one = Candidate(RowFacts(problem, row_of(share.strategy), Stages(problem)), share.strategy.max_num_seqs)
        rules, value = list(findings(one)), one.value()
        check_rules(ledger, one, rules, share.rules)
        check_metrics(ledger, one, value, share.metrics)
        scale = max(Decimal(1), weights_of(problem.objective).latency) * 7
        ledger.time("value", value.total, share.value, scale)
        ledger.same("terms", {"served", "unserved", "gpus"}, set(share.terms))
        for name in ("served", "unserved", "gpus"):
            ledger.time(f"terms.{name}", getattr(value, name), share.terms.get(name), scale)
        off = problem.search.disabled_rules
        broken = [rule.id for rule in rules if rule.id not in off and not barely_holds(one, rule)]
        unclear = [rule.id for rule in rules if rule.id not in off and not clearly_holds(one, rule)]
        if answer.status in ("optimal", "feasible"):
            ledger.that("status", not broken, f"rules broken: {', '.join(broken) or 'none'}", answer.status)
        elif answer.feasible is False:
            claimed = [rule.id for rule in share.rules if rule.enabled and not rule.holds]
            ledger.that("rules broken", set(broken) <= set(claimed) <= set(unclear), broken, claimed)
        return one


def _check_objective(
    ledger: CheckLedger, problem: SeveralProblem, answer: SeveralAnswer, candidates: list[Candidate]
) -> Bar | None:
    """The weighted sum; what another split has to beat."""
    claimed = answer.objective
    if not ledger.that("objective", claimed is not None, "an objective of the split", claimed) or claimed is None:
        return None
    weights = [Decimal(repr(one.weight)) for one in problem.models]
    scale = max(Decimal(1), weights_of(problem.objective).latency) * 7
    total = Decimal(0)
    for served, weight, one in zip(problem.models, weights, candidates, strict=True):
        value = weight * one.value().total
        total += value
        ledger.time(
            f"objective.terms.{served.name}", value, claimed.terms.get(served.name), scale * max(Decimal(1), weight)
        )
    ledger.same("objective.terms", {one.name for one in problem.models}, set(claimed.terms))
    ledger.time("objective.value", total, claimed.value, scale * sum(weights, Decimal(1)) * 2)
    if answer.status == "optimal" and answer.feasible is None:
        ledger.that("objective.bound", claimed.bound == claimed.value, claimed.value, claimed.bound)
    resolution = max(RESOLUTION_MS * max(Decimal(1), sum(weights, Decimal(0))) * scale / 7, abs(total) * RELATIVE)
    tier, near = Decimal(0), Decimal(0)
    if problem.objective.preset == "fewest-gpus":
        tier = Decimal(sum(one.row.gpus for one in candidates))
    elif problem.objective.preset == "throughput":
        for served, weight, one in zip(problem.models, weights, candidates, strict=True):
            peak = one.completions()[0] * served.problem.workload.output_tokens
            tier -= weight * (peak // THOUSANDTH * THOUSANDTH)
        near = 2 * THOUSANDTH * sum(weights, Decimal(0)) + abs(tier) * TWO_NANOSECONDS
    return Bar(float(tier), float(total), float(near), float(resolution))


def _refute(
    ledger: CheckLedger,
    problem: SeveralProblem,
    answer: SeveralAnswer,
    better: tuple[PlacedCandidate, ...],
    bar: Bar | None,
) -> bool:
    """Say what beats the claim, confirmed in exact arithmetic; False where it was rounding, and nothing is proved."""
    for one in better:
        found, _ = one.exact()
        off = one.problem.search.disabled_rules
        if not all(rule.id in off or clearly_holds(found, rule) for rule in findings(found)):
            return False
    total = exact_total(problem, better)
    words = " + ".join(
        f"{served.name} {one.row.strategy(one.slots).label} on {len(one.place.taken)} nodes"
        for served, one in zip(problem.models, better, strict=True)
    )
    what = "optimality" if bar is not None else "status"
    ledger.that(what, False, f"{words} keeps every rule at {total:.9g} ms", answer.label or "infeasible")
    return True
