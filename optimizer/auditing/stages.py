"""Judges what stages hold beside each other: one stage's memory, and whether all are equal."""

from __future__ import annotations

import re
from collections.abc import Iterator

from optimizer.auditing.context import Context
from optimizer.auditing.labels import GPU, claim, judged
from optimizer.auditing.reading import Statement
from optimizer.auditing.result import Claim
from optimizer.auditing.strategies import Proposed
from optimizer.auditing.units import amounts, gb


def judge_stage(statement: Statement, context: Context, proposed: Proposed) -> Iterator[Claim]:
    """``Stage 0: 35.0GB``: may mean one GPU or the whole stage, weights or everything."""
    text = statement.text
    match = re.match(r"\W*(?:PP |pipeline )?stage\s?#?(\d{1,3})\b(?:\s?\([^)]*\))?", text, re.IGNORECASE)
    metrics = context.costs.metrics if match and proposed.pp > 1 and context.costs else None
    if not match or metrics is None:
        return
    number = int(match[1])
    if number > proposed.pp or (number == proposed.pp and not _one_based(context)):
        yield claim(
            statement,
            "refuted",
            f"{proposed.label} has {proposed.pp} stages.",
            f"stage {number}",
            f"{proposed.pp} stages",
        )
        return
    found = [a for a in amounts(text[match.end() :]) if a.dimension == "bytes"]
    if len(found) != 1:
        return
    amount = found[0]
    index = number - 1 if _one_based(context) else number
    weights, everything = metrics.weights_bytes_per_stage[index], metrics.memory_bytes_per_stage[index]
    readings = [weights, weights * proposed.tp, everything, everything * proposed.tp]
    device = context.problem.hardware.gpu.memory_bytes
    what = f"the weights of stage {number} are {gb(weights)} on each of its {proposed.tp} GPU{'s' if proposed.tp > 1 else ''}"
    if proposed.tp > 1:
        what += f", {gb(weights * proposed.tp)} together"
    if amount.near_any([float(v) for v in readings], 0.015):
        yield claim(statement, "confirmed", what[0].upper() + what[1:] + ".", amount.text, gb(weights))
    elif (
        amount.most < weights * 0.94
        or amount.least > device * proposed.tp * 1.01
        or (re.search(rf"per {GPU}|weights? (?:per|on) ", text, re.IGNORECASE) and "KV" not in text)
    ):
        yield judged(statement, amount, False, gb(weights), what)
    else:
        yield claim(
            statement,
            "unsupported",
            f"{amount.text} is no figure that follows for this stage: {what}; with the cache for "
            f"{context.costs.strategy.max_num_seqs if context.costs and context.costs.strategy else 1} "
            f"full sequences one GPU holds {gb(everything)}.",
            amount.text,
            gb(weights * proposed.tp),
        )


def _one_based(context: Context) -> bool:
    return not any(
        re.match(r"\W*(?:PP |pipeline )?stage\s?#?0\b", s.text, re.IGNORECASE) for s in context.statements if s.readable
    )


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
