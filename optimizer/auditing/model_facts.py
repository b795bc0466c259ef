"""Judges what a report says about the model: layers, heads, sizes, parameters, weights, context."""

from __future__ import annotations

import re
from collections.abc import Iterator

from optimizer.auditing.context import Context
from optimizer.auditing.labels import after, before, claim, judged
from optimizer.auditing.reading import Statement
from optimizer.auditing.result import Claim
from optimizer.auditing.units import gb

CLOSE = 0.03
_PART = re.compile(
    r"\bTP group|\bgroups? of|\bof \d+ GPUs\b"
    r"|\b(?:per|each|every|on|in|for) (?:pipeline )?(?:stage|GPU|rank|device|node|replica|shard|head|token|layer)"
    r"|\bstage \d"
    r"|\bshare[sd]?\b|\bgroups?\b|\bdraft\b|\battention weights\b|\bfirst\b|\blast\b|\bTP rank|\bper-(?:GPU|stage|rank)|\bshard",
    re.IGNORECASE,
)


def judge_model(statement: Statement, context: Context) -> Iterator[Claim]:
    """Facts of the model: counts exact, sizes to about 3 %."""
    if (statement.kind == "code" and statement.line in context.command_lines) or context.about_other(statement):
        return
    text, model = statement.text, context.problem.model
    whole = not _PART.search(text)
    exact: list[tuple[str, str, str, int, bool]] = [
        (
            r"\b(?:total|number of|num)[ _](?:transformer |decoder |hidden |model )?layers\b|^layers\b(?! per)|\bhas (?=\d+ layers\b)",
            r"(?:transformer |decoder |hidden )layers\b",
            "layers",
            model.layers,
            whole,
        ),
        (
            r"\bhidden[ _](?:size|dimensions?|dim)\b" r"|\bd_model\b|\bmodel dimension\b",
            r"hidden (?:size|dimensions?)\b",
            "hidden size",
            model.hidden_size,
            True,
        ),
        (
            r"(?<!KV )\b(?:attention|query|q)[ _]heads\b",
            r"(?:attention|query) heads\b",
            "attention heads",
            model.attention_heads,
            whole,
        ),
        (
            r"\b(?:KV|key[-/ ]?value)[ _]heads\b",
            r"(?:KV|key[-/ ]?value) heads\b",
            "KV heads",
            model.kv_heads,
            whole and not model.mla,
        ),
        (
            r"\b(?:routed |total |number of )experts\b",
            r"routed experts\b",
            "routed experts",
            model.experts,
            whole and model.experts > 0,
        ),
    ]
    for label, noun, name, value, usable in exact:
        found = (after(text, label, "") or before(text, noun)) if usable else None
        if found and not found.derived and found.amount.unit == "":
            yield judged(
                statement,
                found.amount,
                found.amount.value == value,
                f"{value:,}",
                f"{model.name} has {value:,} {name}"
                if name != "hidden size"
                else f"the {name} of {model.name} is {value:,}",
            )
    vocabulary = after(text, r"\bvocab(?:ulary)?(?:[ _]size)?\b", "")
    if vocabulary:
        right = vocabulary.amount.near(model.vocabulary, 0.01 if vocabulary.amount.unit else 0.0)
        yield judged(
            statement,
            vocabulary.amount,
            right,
            f"{model.vocabulary:,}",
            f"the vocabulary of {model.name} has {model.vocabulary:,} tokens",
        )
    yield from _context_length(statement, context)
    yield from _parameters(statement, context)
    yield from _weights(statement, context)


def _context_length(statement: Statement, context: Context) -> Iterator[Claim]:
    model, wanted = context.problem.model, context.problem.max_sequence_tokens
    found = after(
        statement.text, r"\b(?:max(?:imum)?[ _])?(?:sequence|context)[ _](?:length|window|size)\b(?: in use)?", ""
    )
    if not found or (statement.kind == "code" and not found):
        return
    amount = found.amount
    loose = 0.03 if amount.unit else 0.0
    allowed = {wanted, model.max_context_tokens}
    if any(amount.near(value, loose) for value in allowed):
        yield claim(
            statement,
            "confirmed",
            f"{model.name} was made for up to {model.max_context_tokens:,} tokens; {wanted:,} are to be served.",
            amount.text,
            f"{wanted:,} tokens",
        )
    elif amount.value * (1 - loose) > model.max_context_tokens:
        yield judged(
            statement,
            amount,
            False,
            f"{model.max_context_tokens:,} tokens",
            f"{model.name} was made for at most {model.max_context_tokens:,} tokens",
        )
    elif (
        re.search(r"max", statement.text, re.IGNORECASE) and amount.value * (1 + loose) < wanted and amount.value >= 128
    ):
        yield judged(
            statement, amount, False, f"{wanted:,} tokens", f"sequences of up to {wanted:,} tokens are to be served"
        )


def _parameters(statement: Statement, context: Context) -> Iterator[Claim]:
    model, text = context.problem.model, statement.text
    if re.search(
        r"\bper[- ]param|bytes\b.*\bparam|\bparameters? per\b|\bper (?:GPU|stage|layer|rank|expert)|\beach (?:GPU|stage|layer|expert)",
        text,
        re.IGNORECASE,
    ) and not re.search(r"^\W*(?:total|model)? ?param\w* ?(?:count)?\s?:", text, re.IGNORECASE):
        return
    if re.search(
        r"attention|assessment|command|validat|layers?\b|expert|heads?\b|embedding|\badds?\b|shared|\bextra\b",
        text,
        re.IGNORECASE,
    ):
        return
    found = after(text, r"\b(?:total |model )?param(?:eter)?s?(?: count)?\b", "") or before(text, r"param(?:eter)?s?\b")
    if not found or found.derived or found.amount.value < 1e8:
        return
    active = bool(re.search(r"\bactiv", text, re.IGNORECASE))
    value = model.active_parameters if active else model.parameters
    right = (
        found.amount.near(value, CLOSE)
        or (active and found.amount.near(model.parameters, CLOSE))
        or (model.experts > 0 and found.amount.near(model.active_parameters, 0.1))
    )
    word = "active parameters" if active else "parameters"
    yield judged(
        statement,
        found.amount,
        right,
        f"{value / 1e9:.2f} billion",
        f"{model.name} has {value / 1e9:.2f} billion {word}",
    )


def _weights(statement: Statement, context: Context) -> Iterator[Claim]:
    """Bytes per parameter, and the size of all weights."""
    text, model = statement.text, context.problem.model
    each = re.search(
        r"\b(FP16|BF16|FP8|INT8)\b[^.;]{0,25}?\b(\d)\s?bytes?\b(?:\s?(?:per|/)\s?(?:param\w*|weight))?",
        text,
        re.IGNORECASE,
    )
    if each and "KV" not in text and not re.search(r"[×÷*]", text):
        size = {"fp16": 2, "bf16": 2, "fp8": 1, "int8": 1}[each[1].lower()]
        right = int(each[2]) == size
        yield claim(
            statement,
            "confirmed" if right else "refuted",
            f"{each[1]} takes {size} byte{'s' if size > 1 else ''} per parameter.",
            f"{each[2]} bytes",
            f"{size} bytes",
        )
    if _PART.search(text) or re.search(r"KV|cache|activation|overhead|utili[sz]ation|\+", text):
        return
    label = (
        r"\b(?:estimated |total )*(?:model )?weights?(?: (?:memory|size|footprint|total))?\b(?! per)"
        r"|\b(?:total )?model (?:memory|size|footprint)(?: footprint)?\b(?! per)|\bmemory for weights\b"
    )
    found = after(text, label, "bytes") or before(text, r"(?:of )?(?:FP16 |BF16 |FP8 |model )*weights\b", "bytes")
    if not found or re.search(
        rf"{re.escape(found.amount.text)}\s?(?:per|/)\s?(?:param|weight|value)", text, re.IGNORECASE
    ):
        return
    sizes = [context.weight_bytes(name) for name in context.formats]
    right = found.amount.near_any(sizes, CLOSE)
    parts = sizes[0] / (context.strategy.tp * context.strategy.pp) if context.strategy else sizes[0]
    if not right and found.amount.near(parts, 0.06):
        return
    how = f"{model.parameters / 1e9:.2f} billion parameters × {sizes[0] / model.parameters:.3g} bytes = {gb(sizes[0])}"
    if right:
        how += " (nominal parameter counts round it)" if not found.amount.near_any(sizes, 0.002) else ""
    yield judged(statement, found.amount, right, gb(sizes[0]), how)
