"""Judges performance figures outside tables of target and achieved."""

from __future__ import annotations

from collections.abc import Iterator

from optimizer.auditing.bubbles import judge_bubble
from optimizer.auditing.context import Context
from optimizer.auditing.measured import judge_measured
from optimizer.auditing.over_target import judge_share_of_target
from optimizer.auditing.reading import Statement
from optimizer.auditing.strategies import hypothetical
from optimizer.auditing.throughput import judge_throughput
from optimizer.results.audit import Claim


def judge_performance(statement: Statement, context: Context) -> Iterator[Claim]:
    """Performance figures outside tables of target and achieved."""
    if statement.line in context.command_lines or statement.line in context.rows or hypothetical(statement):
        return
    yield from judge_bubble(statement, context)
    yield from judge_throughput(statement, context)
    yield from judge_share_of_target(statement, context)
    yield from judge_measured(statement, context)
