"""Judges communication: volumes per layer and stage, and which links a strategy crosses at all."""

from __future__ import annotations

import re
from collections.abc import Iterator

from optimizer.auditing.context import Context
from optimizer.auditing.labels import claim
from optimizer.auditing.reading import Statement
from optimizer.auditing.strategies import Proposed
from optimizer.auditing.units import amounts, gb
from optimizer.results.audit import Claim

CLOSE = 0.03


def judge_communication(statement: Statement, context: Context) -> Iterator[Claim]:
    """Volumes, link utilisation and locality of the proposed strategy."""
    proposed = context.strategy
    if proposed is None or statement.line in context.command_lines or context.about_other(statement):
        return
    yield from _volume(statement, context, proposed)
    yield from _locality(statement, context, proposed)
    share = next((a for a in amounts(statement.text) if a.dimension == "%"), None)
    if (
        share
        and re.search(r"\bNVLink\b", statement.text)
        and re.search(r"\butili[sz]|\busage\b", statement.text, re.IGNORECASE)
    ):
        yield claim(
            statement,
            "unsupported",
            "The load on NVLink depends on how many prompt and output "
            "tokens pass per second, which the report does not state.",
            share.text,
            None,
        )


def _volume(statement: Statement, context: Context, proposed: Proposed) -> Iterator[Claim]:
    text, hidden = statement.text, context.problem.model.hidden_size
    reduce = re.search(r"\ball-?\s?reduce", text, re.IGNORECASE)
    send = re.search(
        r"\bsend\s?/\s?recv|\bsend/receive|\bpoint-to-point|\bP2P\b|\b(?:activation|stage)[- ](?:transfer|hand-?off)s?|\binter-stage",
        text,
        re.IGNORECASE,
    )
    if bool(reduce) == bool(send) or re.search(r"bandwidth|/s\b|[×*+]", text):
        return
    found = [a for a in amounts(text) if a.dimension == "bytes"]
    if len(found) != 1:
        return
    amount = found[0]
    one = hidden * 2.0
    if (reduce and proposed.tp == 1) or (send and proposed.pp == 1):
        if amount.value > 0:
            degree = "TP 1 has no all-reduce" if reduce else "PP 1 has no stage to send to"
            yield claim(statement, "refuted", f"{degree}.", amount.text, "0 bytes")
        return
    times = 2 if reduce else 1
    what = (
        f"each of the two all-reduces of a layer carries {hidden:,} values × 2 bytes = {gb(one)} per token, {gb(2 * one)} per layer"
        if reduce
        else f"a stage sends {hidden:,} values × 2 bytes = {gb(one)} per token (twice that where the residual goes along)"
    )
    ring = 2 * (proposed.tp - 1) / proposed.tp
    readings = [one, 2 * one, one * ring, 2 * one * ring, hidden * 1.0]
    largest = max(context.problem.search.max_num_batched_tokens, context.problem.max_sequence_tokens) * 4 * one * 4
    said = what[0].upper() + what[1:]
    if amount.near_any(readings, CLOSE):
        yield claim(statement, "confirmed", said + ".", amount.text, gb(times * one))
    elif amount.most < hidden * 0.9:
        yield claim(
            statement,
            "refuted",
            f"{said}; {amount.text} is less than the hidden state of a single token.",
            amount.text,
            f"{gb(times * one)} per token",
        )
    elif re.search(r"\b(?:per|each|for (?:one|a|each)|one) token\b", text, re.IGNORECASE) and not re.search(
        r"\btotal|all layers|\d+ layers", text, re.IGNORECASE
    ):
        yield claim(statement, "refuted", f"{said}, not {amount.text}.", amount.text, f"{gb(times * one)} per token")
    elif amount.least > largest and re.search(r"per layer|per stage", text, re.IGNORECASE):
        yield claim(
            statement,
            "refuted",
            f"{said}, so even a full step stays below {gb(largest)}.",
            amount.text,
            f"{gb(times * one)} per token",
        )
    elif (count := _tokens_said(text)) and amount.near_any([count * r for r in readings], CLOSE):
        of_all = f"{count:,} tokens × {gb(one)} = {gb(count * one)}"
        yield claim(statement, "confirmed", f"{said}; {of_all}.", amount.text, gb(count * one))
    elif count is None:
        tokens = amount.value / (times * one)
        yield claim(
            statement,
            "unsupported",
            f"{said}; {amount.text} would be {tokens:,.1f} tokens, and the report states no number of tokens.",
            amount.text,
            f"{gb(times * one)} per token",
        )


_TOKENS = re.compile(r"(?<![\d.,])(\d{1,3}(?:,\d{3})+|\d+)[\s-]tokens?\b", re.IGNORECASE)


def _tokens_said(text: str) -> int | None:
    """The one number of tokens that a text states."""
    found = {int(m[1].replace(",", "")) for m in _TOKENS.finditer(text)} - {0, 1}
    return found.pop() if len(found) == 1 else None


def _locality(statement: Statement, context: Context, proposed: Proposed) -> Iterator[Claim]:
    text, hardware = statement.text, context.problem.hardware
    one_node = hardware.nodes == 1 or (proposed.gpus <= hardware.gpus_per_node)
    spans = proposed.tp * proposed.pp > hardware.gpus_per_node
    none = re.search(
        r"\b(?:no|zero|without|avoids?|eliminat\w+) (?:any )?(?:inter|cross)-?\s?node (?:communication|traffic|transfers?)",
        text,
        re.IGNORECASE,
    )
    idle = re.search(r"\b(?:InfiniBand|inter-?node|network)\b[^:]*:\s*0(?:\.0+)?\s?%", text, re.IGNORECASE)
    if none or idle:
        inside = f"{proposed.label} takes {proposed.gpus} GPUs, and a node has {hardware.gpus_per_node}"
        if one_node:
            yield claim(statement, "confirmed", f"{inside}: everything stays inside one node.", None, None)
        elif spans:
            yield claim(
                statement,
                "refuted",
                f"{inside}: one replica of {proposed.tp * proposed.pp} GPUs spans nodes.",
                None,
                "traffic between nodes",
            )
    if (
        re.search(
            r"\btensor[- ]parallel\w*\b.*\b(?:within|inside|over|on|across)\b.*\bNVLink|\bNVLink\b.*\btensor[- ]parallel",
            text,
            re.IGNORECASE,
        )
        and "%" not in text
        and not re.search(r"\bnot\b|\bno\b", text)
    ):
        domain = hardware.nvlink_domain_gpus if hardware.nvlink_gb_per_s else 1
        fits = proposed.tp <= domain
        yield claim(
            statement,
            "confirmed" if fits else "refuted",
            f"A TP group of {proposed.tp} GPUs "
            f"{'lies inside' if fits else 'is larger than'} an NVLink "
            f"domain of {domain}.",
            None,
            None,
        )
