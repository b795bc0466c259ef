"""Judges token rates: what a batch and a time per token can produce at most, and per GPU against all GPUs."""

from __future__ import annotations

import re
from collections.abc import Iterator

from optimizer.auditing.context import Context
from optimizer.auditing.labels import after, claim
from optimizer.auditing.metrics import is_target
from optimizer.auditing.reading import Statement
from optimizer.auditing.strategies import hypothetical
from optimizer.auditing.units import Amount, amounts, plain_number
from optimizer.results.audit import Claim

GENEROUS = 1.25
"""A median is no mean: throughput has to exceed batch ÷ latency by this much before it is called impossible."""
_PROMPTS = re.compile(r"\b(?:prefill|prompt|input|total tokens|combined|peak FLOP)", re.IGNORECASE)


def judge_throughput(statement: Statement, context: Context) -> Iterator[Claim]:
    """Output tokens per second cannot exceed the sequences in flight ÷ time per token (Little's law)."""
    text = statement.text
    found = _tokens_per_second(text)
    if len(list(amounts(text))) != 1:
        return  # with figures of its own it is judged by them
    if found is None or _PROMPTS.search(text) or is_target(text.split(":")[0]) or context.strategy is None:
        return
    amount, per_gpu = found
    gpus, replicas = context.strategy.gpus, context.strategy.dp
    latencies = [s for s in context.stated("tpot") if s.value > 0]
    batches = [b for b in context.batches if b.value >= 1]
    factor = gpus if per_gpu else 1
    per_replica = bool(re.search(r"per replica|each replica|per instance", text, re.IGNORECASE))
    if (
        latencies
        and batches
        and not re.search(
            r"speculat|draft|MTP|EAGLE", " ".join(s.text for s in context.statements if s.readable), re.IGNORECASE
        )
    ):
        middle = latencies[0]
        fastest = min(s.value for s in latencies)
        largest = max(b.value for b in batches) * (1 if per_replica else replicas)
        batch = batches[0]
        total = batch.value * (1 if per_replica else replicas)
        bound = total / (middle.value / 1e3)
        if amount.least * factor > GENEROUS * largest / (fastest / 1e3):
            each = f", {plain_number(bound / gpus)} per GPU" if per_gpu else ""
            times = f"{replicas} replicas × " if replicas > 1 and not per_replica else ""
            yield claim(
                statement,
                "contradicted",
                f"{times}{plain_number(batch.value)} sequences (line "
                f"{batch.line}) at "
                f"{plain_number(middle.value)} ms per token "
                f"(line {middle.line}) produce "
                f"at most {plain_number(total)} ÷ "
                f"{plain_number(middle.value / 1e3)} s = "
                f"{plain_number(bound)} output tokens/s{each}.",
                amount.text,
                f"at most {plain_number(bound / factor)} tokens/s",
            )
            return
    if not per_gpu and not per_replica:
        for other in context.statements:
            single = (
                _tokens_per_second(other.text)
                if len(list(amounts(other.text))) == 1
                and other.readable
                and other.line != statement.line
                and not hypothetical(other)
                else None
            )
            if single and single[1] and not is_target(other.text.split(":")[0]):
                total = single[0].value * gpus
                if abs(total - amount.value) <= 0.02 * total + amount.step:
                    yield claim(
                        statement,
                        "confirmed",
                        f"{single[0].text} per GPU (line {other.line}) × {gpus} GPUs = {plain_number(total)} tokens/s.",
                        amount.text,
                        f"{plain_number(total)} tokens/s",
                    )
                elif amount.high == amount.value:
                    yield claim(
                        statement,
                        "contradicted",
                        f"Line {other.line} gives {single[0].text} per GPU, which "
                        f"makes {plain_number(total)} tokens/s on {gpus} GPUs.",
                        amount.text,
                        f"{plain_number(total)} tokens/s",
                    )
                return


def _tokens_per_second(text: str) -> tuple[Amount, bool] | None:
    """A token rate and whether it is of one GPU."""
    if re.search(r"[×*÷=]", text):
        return None
    label = (
        r"\b(?:tokens?|tok) ?(?:per|/) ?s(?:ec(?:ond)?)?\b(?: per GPU|/GPU)?|\b(?:token"
        r"|output|decode|generation|aggregate|overall|total)? ?throughput\b(?: per GPU)?"
    )
    rates = [a for a in amounts(text) if a.dimension == "tokens/s"]
    labelled = after(text, label, "")
    amount = (
        rates[0]
        if len(rates) == 1
        else labelled.amount
        if labelled and not rates and re.search(r"\btok", text, re.IGNORECASE)
        else None
    )
    if amount is None or amount.value <= 0:
        return None
    return amount, bool(re.search(r"per GPU|/GPU|each GPU", text, re.IGNORECASE))
