"""The audit itself: every recogniser over every statement, in the order in which later ones rely on earlier findings."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from optimizer.audit.advice import judge_advice, judge_verification
from optimizer.audit.arithmetic import judge_arithmetic
from optimizer.audit.communication import judge_communication
from optimizer.audit.comparisons import judge_comparisons
from optimizer.audit.context import Context
from optimizer.audit.figures import judge_figures
from optimizer.audit.implied import judge_implied
from optimizer.audit.labels import shortened
from optimizer.audit.launch import judge_commands
from optimizer.audit.lexicon import lexicon
from optimizer.audit.machine_facts import judge_hardware
from optimizer.audit.memory import judge_memory, judge_utilisation
from optimizer.audit.model_facts import judge_model
from optimizer.audit.performance import judge_performance
from optimizer.audit.predicates import judge_predicates
from optimizer.audit.reading import Statement, read_report
from optimizer.audit.result import VERDICTS, AuditResult, Claim, Unrecognised
from optimizer.audit.sentences import sentences_of
from optimizer.audit.situations import own_situation
from optimizer.audit.strategy_claims import judge_strategy
from optimizer.audit.targets import judge_row
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
    own, words = own_situation(context), lexicon()
    for statement in statements:
        if statement.readable and statement.kind != "code" and statement.line not in context.command_lines:
            for sentence in sentences_of(statement, words, context.language(statement)):
                if statement.line not in context.rows:
                    found[statement.line] += judge_figures(sentence, context, words, own)
                found[statement.line] += judge_implied(sentence, context, own)
                found[statement.line] += judge_predicates(sentence, context, own)
                found[statement.line] += judge_comparisons(sentence, context, own)
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
