"""The audit itself: every recogniser over every statement, in the order in which later ones rely on earlier findings."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from optimizer.auditing.advice import judge_advice, judge_verification
from optimizer.auditing.arithmetic import judge_arithmetic
from optimizer.auditing.communication import judge_communication
from optimizer.auditing.comparisons import judge_comparisons
from optimizer.auditing.context import Context
from optimizer.auditing.figures import judge_figures
from optimizer.auditing.implied import judge_implied
from optimizer.auditing.labels import shortened
from optimizer.auditing.launch import judge_commands
from optimizer.auditing.lexicon import lexicon
from optimizer.auditing.machine_facts import judge_hardware
from optimizer.auditing.memory import judge_memory, judge_utilisation
from optimizer.auditing.model_facts import judge_model
from optimizer.auditing.performance import judge_performance
from optimizer.auditing.predicates import judge_predicates
from optimizer.auditing.reading import Statement, read_report
from optimizer.auditing.result import VERDICTS, AuditResult, Claim, Unrecognised
from optimizer.auditing.sentences import sentences_of
from optimizer.auditing.situations import own_situation
from optimizer.auditing.strategy_claims import judge_strategy
from optimizer.auditing.targets import judge_row
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
