"""The compatibility score: a weighted sum of parts between 0 and 1, every part shown with what it is made of."""

from __future__ import annotations

from dataclasses import dataclass

from optimizer.reporting.crossing import crossings
from optimizer.reporting.document import Cell, Column, Figure, Section, Table, Text
from optimizer.reporting.ledger import Ledger, number
from optimizer.reporting.sections.graph import GraphFound
from optimizer.reporting.sections.launch import LaunchFound
from optimizer.reporting.subject import Subject
from optimizer.results.answer import RuleResult
from optimizer.results.rule_groups import HARDWARE_RULES

WEIGHTS = {
    "arithmetic": 10,
    "hardware": 20,
    "requirements": 40,
    "optimality": 10,
    "deployment": 10,
    "graph": 10,
}
"""Ours, and stated in the report; they sum to 100."""


@dataclass(frozen=True, slots=True)
class ScorePart:
    """One part of the score: its value from 0 to 1, as arithmetic, and the rule that decides it."""

    id: str
    words: str
    value: float
    numbers: str
    formula: str


def derive_score(subject: Subject, graph: GraphFound | None, launch: LaunchFound) -> tuple[ScorePart, ...]:
    """Every part and the score itself."""
    ledger = subject.ledger
    parts = (
        _arithmetic(subject),
        _hardware(subject),
        _requirements(subject),
        _optimality(subject),
        _deployment(launch),
        _graph(graph),
    )
    for part in parts:
        ledger.derive(f"score-{part.id}", f"Score, part “{part.id}”", part.formula, part.numbers, part.value, "",
                      text=f"{part.value:.3f}", note=part.words)  # fmt: skip
    total = sum(WEIGHTS[part.id] * part.value for part in parts)
    written = " + ".join(f"{WEIGHTS[part.id]} × {number(part.value)}" for part in parts)
    ledger.derive(
        "score", "Compatibility score", " + ".join(f"{weight} × {name}" for name, weight in WEIGHTS.items()), written, total,
        "points", text=f"{min(total, 99.9) if total < 100 else 100:.1f} of 100",
        note="weights chosen by this product; a broken rule is a no, whatever the score",
        inputs=[f"score-{part.id}" for part in parts],
    )  # fmt: skip
    return parts


def _arithmetic(subject: Subject) -> ScorePart:
    seen = subject.answer.verification
    agreed = seen.checks - len(seen.mismatches)
    value = agreed / seen.checks if seen.checks else 0.0
    return ScorePart("arithmetic", "numbers and rules that the independent verifier recomputed and confirmed", value,
                f"{agreed} / {max(1, seen.checks)}", "confirmed / recomputed")  # fmt: skip


def _hardware(subject: Subject) -> ScorePart:
    rules = [rule for rule in subject.answer.rules if rule.id in HARDWARE_RULES and rule.enabled]
    good = sum(rule.holds for rule in rules)
    return ScorePart("hardware", "rules of the hardware and the model's shape that hold", good / max(1, len(rules)),
                f"{good} / {max(1, len(rules))}", "rules that hold / rules")  # fmt: skip


def _requirements(subject: Subject) -> ScorePart:
    """The worst requirement: 1 when it holds, else how far it is met; by prediction alone, the part of its interval that keeps it."""
    worst, name, text = 1.0, "all hold", "1 / 1"
    for rule in subject.answer.rules:
        if rule.id in HARDWARE_RULES or not rule.enabled or rule.holds:
            continue
        met, written = _met(rule)
        if met < worst:
            worst, name, text = met, rule.id, written
    crossed = crossings(subject.problem, subject.answer)
    if worst == 1.0 and crossed:
        least = min(crossed, key=lambda one: one.within)
        worst, name = least.within, f"{least.name.removesuffix('_ms')}, which holds by prediction: measure first"
        low = number(least.low_ms)
        text = f"({number(least.limit_ms)} − {low}) / ({number(least.high_ms)} − {low})"
    return ScorePart("requirements", f"the requirement that is met least: {name}", worst, text,
                "1 if all hold, else the least of limit / actual (actual / limit for what must be at least); where all hold by "
                "prediction, the least part of a 5–95 % interval that keeps its limit")  # fmt: skip


def _met(rule: RuleResult) -> tuple[float, str]:
    if not isinstance(rule.limit, int | float) or not isinstance(rule.actual, int | float) or rule.slack is None:
        return 0.0, "0 / 1"
    least = rule.slack == rule.actual - rule.limit and rule.slack != rule.limit - rule.actual
    top, bottom = (rule.actual, rule.limit) if least else (rule.limit, rule.actual)
    if not bottom or top / bottom >= 1:
        return 0.0, "0 / 1"
    return top / bottom, f"{number(top)} / {number(bottom)}"


def _optimality(subject: Subject) -> ScorePart:
    objective = subject.answer.objective
    if objective is None or objective.value <= 0:
        return ScorePart("optimality", "no objective value", 0.0, "0 / 1", "proven bound / value")
    if objective.bound >= objective.value:
        return ScorePart("optimality", "the value equals the proven bound", 1.0, "1 / 1", "proven bound / value")
    bound, value = max(0.0, objective.bound), objective.value
    return ScorePart("optimality", "how near the objective comes to the proven bound", bound / value,
                f"{number(bound)} ms / ({number(value)} ms)", "proven bound / value")  # fmt: skip


def _deployment(launch: LaunchFound) -> ScorePart:
    ready = bool(launch.files)
    return ScorePart("deployment", f"launch commands for {launch.engine}" if ready else launch.refusal, float(ready),
                f"{int(ready)} / 1", "1 if complete launch commands can be written")  # fmt: skip


def _graph(graph: GraphFound | None) -> ScorePart:
    if graph is None or not graph.check.checks:
        return ScorePart("graph", "there is no graph", 0.0, "0 / 1", "facts of the graph that agree / facts recomputed")
    good = graph.check.checks - len(graph.check.mismatches)
    return ScorePart("graph", "facts of the execution graph that the independent check confirmed", good / graph.check.checks,
                f"{good} / {graph.check.checks}", "facts of the graph that agree / facts recomputed")  # fmt: skip


def score_section(ledger: Ledger, parts: tuple[ScorePart, ...]) -> Section:
    """The score, its formula and its parts."""
    rows: list[tuple[Cell, ...]] = []
    for part in parts:
        weight = WEIGHTS[part.id]
        got = weight * part.value
        rows.append((part.id, part.words, ledger.figure(f"score-{part.id}"), Figure(str(weight), weight, "points"),
                     Figure(f"{got:.1f}", got, "points", "score")))  # fmt: skip
    columns = (
        Column("part", "ScorePart"), Column("what", "What it is"), Column("value", "0 to 1", right=True),
        Column("weight", "Weight", right=True), Column("points", "Points", right=True),
    )  # fmt: skip
    formula = "Score = " + " + ".join(f"{weight} × {name}" for name, weight in WEIGHTS.items()) + ". "
    said = Text((
        "Compatibility score: ", ledger.figure("score"), ". ", formula,
        "The weights are this product's choice. The score is a summary: the verdict depends on the rules alone, and a broken rule "
        "is a no whatever the score.",
    ))  # fmt: skip
    return Section("score", "Compatibility score", (said, Table("score", columns, tuple(rows))))
