"""From a split to what people read: what every model gets, with its metrics and judged rules, and the weighted objective."""

from __future__ import annotations

from optimizer.facts.several import WEIGHT_STEPS, ModelEntry, SeveralProblem
from optimizer.results.answer import ObjectiveResult, model_read
from optimizer.results.several import ServedShare
from optimizer.search.common.scale import NS_PER_MS
from optimizer.search.several.candidates import SharedCandidate
from optimizer.search.several.solve import Split
from optimizer.search.uniform.evaluate import judge_rules, metrics_of, strategy_of
from optimizer.search.uniform.evaluate import objective_of as of_uniform


def share_of(served: ModelEntry, one: SharedCandidate) -> ServedShare:
    """What one model gets."""
    quantities, choice = one.quantities, one.choice
    objective = of_uniform(quantities, choice, None)
    problem = quantities.problem
    decided = next((one for one in served.problem.variants() if served.problem.decided(one).search == problem.search
                    and served.problem.decided(one).workload == problem.workload), {})  # fmt: skip
    return ServedShare(
        name=served.name,
        weight=served.weight,
        strategy=strategy_of(quantities, choice),
        nodes=one.footprint.nodes,
        whole_nodes=one.footprint.whole,
        metrics=metrics_of(quantities, choice),
        value=objective.value,
        terms=objective.terms,
        rules=judge_rules(quantities, choice),
        decided=decided,
        model=model_read(problem.model),
    )


def objective_of(problem: SeveralProblem, split: Split, bound: int | None) -> ObjectiveResult:
    """The weighted sum with its terms by model, beside a proved bound (the value itself when None)."""
    total = split.value_steps(problem)
    proved = total if bound is None else min(bound, total)
    pairs = zip(problem.models, split.candidates, strict=True)
    return ObjectiveResult(
        value=in_ms(total),
        bound=in_ms(proved),
        gap=0.0 if total == proved else (total - proved) / max(abs(total), 1),
        unit="ms",
        terms={served.name: in_ms(served.weight_steps * one.value) for served, one in pairs},
    )


def in_ms(steps: int) -> float:
    """A weighted value in ns times thousandths, in ms."""
    return steps / (WEIGHT_STEPS * NS_PER_MS)


__all__ = ["in_ms", "objective_of", "share_of"]
