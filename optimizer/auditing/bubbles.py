"""Judges the share of time that a pipeline stands idle while it fills and drains."""

from __future__ import annotations

import re
from collections.abc import Iterator

from optimizer.auditing.context import Context, StatedFacts
from optimizer.auditing.labels import after, before, claim
from optimizer.auditing.reading import Statement
from optimizer.auditing.units import amounts, plain_number
from optimizer.results.audit import Claim

_BUBBLE = re.compile(r"\bbubbles?\b|\b(?:Pipeline-?)?Blasen?(?:anteil)?\b|\bbulles?\b", re.IGNORECASE)


def judge_bubble(statement: Statement, context: Context) -> Iterator[Claim]:
    """(PP − 1) ÷ (m + PP − 1) with the micro-batches m that the report states; unsupported where it states none."""
    text, proposed = statement.text, context.strategy
    if proposed is None or not _BUBBLE.search(text):
        return
    shares = [a for a in amounts(text) if a.dimension == "%"]
    if len(shares) != 1:
        return
    stated, stages = shares[0], proposed.pp
    if stages == 1:
        right = stated.value == 0
        yield claim(
            statement, "confirmed" if right else "refuted", "One stage leaves no pipeline bubble.", stated.text, "0 %"
        )
        return
    micro = _micro_batches(statement, context)
    if micro is None:
        needed = stages - 1 if stated.value <= 0 else (stages - 1) * (100 / stated.value - 1)
        yield claim(
            statement,
            "unsupported",
            f"The report states no number "
            f"of micro-batches; filling and "
            f"draining {stages} stages idles (PP − 1) ÷ (m + PP − 1), "
            f"so {stated.text} would need m = {needed:,.0f}.",
            stated.text,
            None,
        )
        return
    if micro.line != statement.line and re.search(r"\d\s*\)?\s*[÷/]\s*\(?\s*\d", text):
        return  # a calculation of its own, with its own number of micro-batches
    exact = 100 * (stages - 1) / (micro.value + stages - 1)
    accepted = [exact, 100 * (stages - 1) / micro.value]
    right = any(abs(value - stated.value) <= max(1.0, stated.step) for value in accepted)
    how = (
        f"(PP − 1) ÷ (m + PP − 1) = {stages - 1} ÷ {plain_number(micro.value + stages - 1)} = "
        f"{plain_number(exact)} % with the {plain_number(micro.value)} micro-batches of line {micro.line}"
    )
    yield claim(
        statement,
        "confirmed" if right else "refuted",
        how + ("." if right else f", not {stated.text}."),
        stated.text,
        f"{plain_number(exact)} %",
    )


def _micro_batches(statement: Statement, context: Context) -> StatedFacts | None:
    for other in (statement, *context.statements):
        if (
            not other.readable
            or not re.search(r"micro-?\s?batch", other.text, re.IGNORECASE)
            or re.search(r"micro-?\s?batch size", other.text, re.IGNORECASE)
        ):
            continue
        found = before(other.text, r"micro-?\s?batch(?:es)?\b") or after(
            other.text, r"\bmicro-?\s?batch(?:es)?(?: count)?\b", ""
        )
        if found and found.amount.value >= 1 and not found.amount.unit:
            return StatedFacts(found.amount.value, other.line, found.amount.text)
    return None
