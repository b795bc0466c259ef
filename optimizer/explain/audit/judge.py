"""The audit itself: every recogniser over every statement, in the order in which later ones rely on earlier findings."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from optimizer.explain.audit.advice import judge_advice, judge_verification
from optimizer.explain.audit.arithmetic import judge_arithmetic
from optimizer.explain.audit.communication import judge_communication
from optimizer.explain.audit.context import Context
from optimizer.explain.audit.labels import shortened
from optimizer.explain.audit.launch import judge_commands
from optimizer.explain.audit.machine_facts import judge_hardware
from optimizer.explain.audit.memory import judge_memory, judge_utilisation
from optimizer.explain.audit.model_facts import judge_model
from optimizer.explain.audit.performance import judge_performance
from optimizer.explain.audit.reading import Statement, read_report
from optimizer.explain.audit.result import VERDICTS, AuditResult, Claim, Unrecognised
from optimizer.explain.audit.strategy_claims import judge_strategy
from optimizer.explain.audit.targets import judge_row
from optimizer.facts.problem import Problem

Judge = Callable[[Statement, Context], Iterator[Claim]]

# Figures found wrong by the first pass are recognised where the second finds them repeated.
FIRST: tuple[Judge, ...] = (
    judge_memory,
    judge_strategy,
    judge_model,
    judge_hardware,
    judge_communication,
    judge_performance,
    judge_commands,
    judge_advice,
    judge_arithmetic,
)
SECOND: tuple[Judge, ...] = (judge_utilisation, judge_row, judge_verification)


def audit(report_text: str, problem: Problem) -> AuditResult:
    """Judges each claim of a report that is recognised, and counts the statements that are not.

    Args:
        report_text: the report, Markdown or plain text.
        problem: the facts it is judged by, from ``load_problem``.

    Returns:
        Claims in the order of their lines; of one line the worst verdict first.
    """
    statements = read_report(report_text)
    context = Context(problem, statements)
    found: dict[int, list[Claim]] = {statement.line: [] for statement in statements}
    for judges in (FIRST, SECOND):
        for statement in statements:
            if statement.readable:
                for judge in judges:
                    found[statement.line] += judge(statement, context)
    claims = [claim for line in sorted(found) for claim in _settled(found[line])]
    unknown = tuple(
        Unrecognised(s.line, shortened(s.text)) for s in statements if not found[s.line] and s.kind != "heading"
    )
    label = context.strategy.label if context.strategy else None
    return AuditResult(problem.name, label, tuple(claims), unknown)


def _settled(claims: list[Claim]) -> list[Claim]:
    """One line's claims, worst first: none twice, and no praise for the arithmetic of a figure that is wrong or judged."""
    unique = list(dict.fromkeys(claims))
    judged = {claim.stated for claim in unique if claim.reason not in _ARITHMETIC}
    accused = any(claim.verdict in ("refuted", "contradicted") for claim in unique)
    kept = [
        c
        for c in unique
        if not (c.reason in _ARITHMETIC and (accused or _figure(c.stated) in {_figure(j) for j in judged}))
    ]
    return sorted(kept, key=lambda claim: VERDICTS.index(claim.verdict))


_ARITHMETIC = ("The arithmetic is right.", "Both sides are equal.")


def _figure(text: str | None) -> str:
    return (text or "").split(" ")[0].replace(",", "").lower()
