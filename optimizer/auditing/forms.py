"""The parsed form of claims whose judge reads a line as a whole: commands, formulas, strategies, rows of targets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from optimizer.auditing.context import Context
from optimizer.auditing.measures import measures
from optimizer.auditing.reading import Statement
from optimizer.results.audit import Claim, Parsed

Judge = Callable[[Statement, Context], Iterator[Claim]]
LONGEST_SUBJECT = 60
"""Characters of a statement that stand for what it is about."""


def with_form(quantity: str, judge: Judge) -> Judge:
    """A judge whose claims say what they are about: the statement, the judge's own quantity, and the figure that is stated."""

    def formed(statement: Statement, context: Context) -> Iterator[Claim]:
        for claim in judge(statement, context):
            yield claim if claim.parsed is not None else replace(claim, parsed=_form(claim, quantity))

    return formed


def _form(claim: Claim, quantity: str) -> Parsed:
    found = measures(claim.stated) if claim.stated else []
    value = found[0] if len(found) == 1 else None
    stated, unit = (value.value, value.dimension) if value else (None, "")
    return Parsed(claim.text[:LONGEST_SUBJECT], quantity, stated, unit, "=")
