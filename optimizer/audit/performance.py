"""Judges performance figures outside tables of target and achieved."""

from __future__ import annotations

from collections.abc import Iterator

from optimizer.audit.bubbles import judge_bubble
from optimizer.audit.context import Context
from optimizer.audit.measured import judge_measured
from optimizer.audit.over_target import judge_share_of_target
from optimizer.audit.reading import Statement
from optimizer.audit.result import Claim
from optimizer.audit.strategies import hypothetical
from optimizer.audit.throughput import judge_throughput


def judge_performance(statement: Statement, context: Context) -> Iterator[Claim]:
    """Performance figures outside tables of target and achieved."""
    if statement.line in context.command_lines or statement.line in context.rows or hypothetical(statement):
        return
    yield from judge_bubble(statement, context)
    yield from judge_throughput(statement, context)
    yield from judge_share_of_target(statement, context)
    yield from judge_measured(statement, context)
