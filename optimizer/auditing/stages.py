"""Judges what stages hold beside each other: one stage's memory, and whether all are equal."""

from __future__ import annotations

import re
from collections.abc import Iterator

from optimizer.auditing.context import Context
from optimizer.auditing.labels import claim
from optimizer.auditing.reading import Statement
from optimizer.auditing.strategies import Proposed
from optimizer.auditing.units import gb
from optimizer.results.audit import Claim


def judge_balance(statement: Statement, context: Context, proposed: Proposed) -> Iterator[Claim]:
    """Stages called equal or balanced, against what each of them holds."""
    text = statement.text
    metrics = (
        context.costs.metrics
        if proposed.pp > 1 and re.search(r"balanc|memory", text, re.IGNORECASE) and context.costs
        else None
    )
    if metrics is None:
        return
    stages = metrics.weights_bytes_per_stage
    spread = max(stages) / min(stages) - 1
    zero = re.search(r"\bmemory (?:balance|imbalance)[^:]*[:=]\s*(0(?:\.0+)?\s?%?)(?!\d|\.\d)", text, re.IGNORECASE)
    perfect = re.search(
        r"\bperfect(?:ly)?\b[^.]*\bmemory\b|\bmemory\b[^.]*\bperfect(?:ly)? (?:even|balanced|distributed)",
        text,
        re.IGNORECASE,
    )
    if (zero or perfect) and spread > 0.01:
        listed = ", ".join(gb(v) for v in stages) if len(stages) <= 8 else f"{gb(min(stages))} to {gb(max(stages))}"
        yield claim(
            statement,
            "refuted",
            f"The first stage also holds the embedding and the last "
            f"one the head: weights per GPU are {listed} by stage, "
            f"{spread:.0%} apart.",
            zero[1].strip() if zero else "perfect",
            f"{spread:.1%}",
        )
