"""Figures of the rules: what a strategy does, and how far that is from the limit."""

from __future__ import annotations

from optimizer.explain.common.numbers import amount
from optimizer.reporting.document import Cell, Figure
from optimizer.reporting.ledger import number
from optimizer.reporting.subject import Subject
from optimizer.results.answer import RuleResult

SAME = {"memory": "memory", "concurrency": "n99", "gpu_count": "gpus-used"}
"""Rules whose actual figure is derived under another name."""
SHARE = "share of requests"


def derive_rules(subject: Subject) -> None:
    """What no other section derives: the rate that is completed with every slot taken, and the slack of every rule."""
    ledger, output = subject.ledger, subject.problem.workload.output_tokens
    peak = ledger.value("peak_tokens_per_s")
    ledger.derive(
        "request_rate", "Requests completed per second with every slot taken", "output tokens per second at most / output tokens",
        f"{number(peak)} tokens/s / {output} tokens", peak / output, "requests/s", note="docs/model.md, section 7",
        inputs=("peak_tokens_per_s",),
    )  # fmt: skip
    for rule in subject.answer.rules:
        if rule.slack is None or isinstance(rule.limit, str) or isinstance(rule.actual, str):
            continue
        unit, actual, by = unit_of(rule), actual_id(subject, rule), scale_of(rule)
        first, second, words = by * rule.limit, by * rule.actual, "limit − actual"
        if abs(rule.limit - rule.actual - rule.slack) > 1e-6 * max(1.0, abs(rule.slack)):
            first, second, words = second, first, "actual − limit"
        ledger.derive(
            f"slack-{rule.id}", f"Slack of rule {rule.id}", words, f"{number(first)} {unit} − {number(second)} {unit}",
            by * rule.slack, unit, text=signed(rule.slack, rule.unit), note=rule.sentence, inputs=(actual,) if actual else (),
        )  # fmt: skip


def unit_of(rule: RuleResult) -> str:
    """The rule's unit as arithmetic knows it."""
    return {"bytes": "B", SHARE: "%"}.get(rule.unit, rule.unit)


def scale_of(rule: RuleResult) -> int:
    """What a rule's figures are multiplied by to be in that unit."""
    return 100 if rule.unit == SHARE else 1


def actual_id(subject: Subject, rule: RuleResult) -> str | None:
    """The derivation of a rule's actual figure."""
    names = (SAME.get(rule.id, rule.id), f"{rule.id}_ms")
    if rule.id == "tpot_full_batch":
        names = (f"tpot-n{subject.strategy.max_num_seqs}", "")
    return next((name for name in names if name in subject.ledger), None)


def actual_cell(subject: Subject, rule: RuleResult) -> str | Figure:
    """What the strategy does, linked to its derivation."""
    if isinstance(rule.actual, str):
        return rule.actual
    return Figure(amount(rule.actual, rule.unit), scale_of(rule) * rule.actual, unit_of(rule), actual_id(subject, rule))


def limit_cell(rule: RuleResult) -> Cell:
    """What the rule allows."""
    if isinstance(rule.limit, str):
        return rule.limit
    return Figure(amount(rule.limit, rule.unit), scale_of(rule) * rule.limit, unit_of(rule))


def signed(value: float, unit: str) -> str:
    """An amount with a proper minus sign."""
    return f"−{amount(-value, unit)}" if value < 0 else amount(value, unit)


def slack_cell(subject: Subject, rule: RuleResult) -> str | Figure:
    """How far the two lie apart."""
    if rule.slack is None:
        return ""
    known = f"slack-{rule.id}"
    return Figure(
        signed(rule.slack, rule.unit),
        scale_of(rule) * rule.slack,
        unit_of(rule),
        known if known in subject.ledger else None,
    )
