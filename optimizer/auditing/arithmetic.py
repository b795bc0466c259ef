"""Judges arithmetic written out: ``a × b ÷ c = d`` and ``a < b``, with units and percentages."""

from __future__ import annotations

import re
from collections.abc import Iterator

from optimizer.auditing.context import Context
from optimizer.auditing.expressions import Relation, Side, relations
from optimizer.auditing.plain import plain_arithmetic
from optimizer.auditing.reading import Statement
from optimizer.auditing.units import plain_number, unit_of
from optimizer.results.audit import Claim

ROUGH = 0.06
_CLAUSE = re.compile(r"[,;]\s+|\s+and\s+|\.\s+(?=[A-Z(])")
# Rates and operations carry powers of ten of their own: where such arithmetic agrees it is right, else it is not understood.
_RATES = re.compile(r"FLOP|/\s?s\b|per second|Hz\b", re.IGNORECASE)
_HOLDS = {
    "<": lambda a, b: a < b,
    ">": lambda a, b: a > b,
    "≤": lambda a, b: a <= b,
    "≥": lambda a, b: a >= b,
}


def judge_arithmetic(statement: Statement, context: Context) -> Iterator[Claim]:
    """One claim for every relation between numbers in the statement."""
    if statement.line in context.command_lines:
        return
    for cell in statement.cells or (statement.text,):
        for part in _clauses(plain_arithmetic(cell, context.language(statement))):
            for relation in relations(part):
                claim = _judge(statement, relation)
                if claim:
                    yield claim
        yield from _in_brackets(statement, plain_arithmetic(cell, context.language(statement)))


_WORKED = re.compile(
    r"(?P<value>(?<![\w.,])\d[\d,]*(?:\.\d+)?\s?(?P<unit>[KMGT]i?B|bytes|%|ms|s)\b)(?P<words>(?:\s[^\d\s()=≈]+){0,8})\s"
    r"\((?P<work>\d[^()=≈<>:;]*[×x*·÷/][^()=≈<>:;]*\d[^()=≈<>:;]*)\)"
)
_BYTES = re.compile(r"\d\s?(?:[KMGT]i?B|[Bb]ytes?|Byte|octets?|B)\b")


def _in_brackets(statement: Statement, text: str) -> Iterator[Claim]:
    """``352 KiB in the cache (2 × 88 × 8 × 128 × 2 bytes)``: how a figure was worked out, in brackets behind it."""
    for found in _WORKED.finditer(text):
        of_bytes = found["unit"][-1:] == "B" or found["unit"] == "bytes"
        if of_bytes and not _BYTES.search(found["work"]):
            continue
        if not of_bytes and len(re.findall(r"\d+", found["work"])) > 2:
            continue
        for relation in relations(f"{found['work']} = {found['value']}"):
            claim = _judge(statement, relation)
            if claim and (claim.verdict == "confirmed" or of_bytes):
                yield claim


def _clauses(text: str) -> Iterator[str]:
    """Parts of a sentence; what stands in parentheses, such as the arguments of ``max(a, b)``, stays together."""
    start, depth, last = 0, 0, 0
    for mark in _CLAUSE.finditer(text):
        depth += text.count("(", last, mark.start()) - text.count(")", last, mark.start())
        last = mark.start()
        if depth <= 0:
            yield text[start : mark.start()]
            start, depth = mark.end(), 0
    yield text[start:]


def _judge(statement: Statement, relation: Relation) -> Claim | None:
    left, right = relation.left, relation.right
    text = f"{left.text} {relation.sign} {right.text}"
    if relation.sign in _HOLDS:
        return _compared(statement, relation, text)
    if not left.operators and not right.operators:
        same = unit_of(left.unit)[0] == unit_of(right.unit)[0] != ""
        if not same or (relation.sign == "=" and left.unit == right.unit and left.first == right.first):
            return None
        if left.worded:
            return None  # "32 GB apiece = 128 GB", "300 tokens at 20 ms = 6 s": a sum in words, and no conversion
    rough = relation.sign == "≈" or "≈" in statement.text or "~" in statement.text
    if not right.operators and _agree(left, right, rough):
        return Claim(statement.line, text, "confirmed", "The arithmetic is right.", right.text, right.text)
    if right.operators:
        if _agree_values(left, right):
            return Claim(statement.line, text, "confirmed", "Both sides are equal.", right.text, right.text)
        if not left.operators and _agree(right, left, rough):
            return Claim(statement.line, text, "confirmed", "The arithmetic is right.", left.text, left.text)
    stated, computed = (right, left) if not right.operators else (left, right)
    if _other_unit(statement, computed, stated) or (
        _RATES.search(computed.text) and (computed.operators > 1 or _converted(computed, stated))
    ):
        return None
    if stated.operators:
        result = plain_number(computed.value.raw)
        other = plain_number(stated.value.raw)
        return Claim(
            statement.line,
            text,
            "refuted",
            f"{left.text} is {plain_number(left.value.raw)}, {right.text} is "
            f"{plain_number(right.value.raw)}: the two sides differ.",
            other,
            result,
        )
    expected = _expected(computed, stated)
    return Claim(
        statement.line, text, "refuted", f"{computed.text} is {expected}, not {stated.text}.", stated.text, expected
    )


CONVERSIONS = (
    1e3,
    1e6,
    1e9,
    1e12,
    1024.0,
    60.0,
    3600.0,
    24.0,
    1440.0,
    86400.0,
    7.0,
    168.0,
    30.0,
    365.0,
    8760.0,
    12.0,
    100.0,
)


def _other_unit(statement: Statement, computed: Side, stated: Side) -> bool:
    """Whether a unit that is not read here ("5.6 kW", "180 minutes") may explain the difference."""
    number = re.sub(r"\\?[.,]", "[.,]", re.escape(stated.text))  # "11,2 kW" is read as 11.2
    word = re.search(number + r"\s?(?:[A-Za-zµΩ]+|[$€£])", statement.text)
    sign = re.search(r"[$€£]\s?" + number, statement.text)
    if stated.unit or not (word or sign) or not stated.first or not computed.value.raw:
        return False
    ratio = abs(computed.value.raw / stated.first)
    return any(abs(max(ratio, 1 / ratio) / factor - 1) < 0.02 for factor in CONVERSIONS)


def _converted(computed: Side, stated: Side) -> bool:
    """Whether powers of ten, bits or units of time may explain the difference."""
    if not stated.first or not computed.value.raw or re.search(r"FLOP|Hz", computed.text, re.IGNORECASE):
        return True
    ratio = abs(computed.value.raw / stated.first)
    factors = (*CONVERSIONS, 8.0, 1e6 / 8, 1024.0**2, 1024.0**3)
    return any(abs(max(ratio, 1 / ratio) / factor - 1) < 0.03 for factor in factors)


def _pairs(side: Side) -> tuple[float, float, float]:
    return side.value.raw, side.value.decimal, side.value.binary


def _agree(computed: Side, stated: Side, rough: bool) -> bool:
    """Whether any reading of the expression rounds to the stated number."""
    dimension, factor, binary = unit_of(stated.unit)
    scale = 1e3 if dimension == "ms" else 1.0
    factor, binary = (0.01, 0.01) if dimension == "%" else (factor / scale, binary / scale)
    numbers = [computed.value.raw]
    if dimension == "%":
        numbers += [computed.value.raw * 100, computed.value.decimal * 100, computed.value.binary * 100]
    numbers += [
        value / unit
        for value in (computed.value.decimal, computed.value.binary, computed.value.raw)
        for unit in (factor, binary)
    ]
    stated_number = stated.first
    for number in numbers:
        allowed = max(abs(number) * (computed.value.tolerance + (ROUGH if rough else 0.0)), 0.0)
        exact = stated.step == 0.5 and abs(stated_number) < 1000 and float(number).is_integer()
        # Rounded or cut off after the last printed digit; whole numbers that come out whole have to be met.
        digit = 0.0 if exact and not computed.value.tolerance else 2 * stated.step
        if abs(number - stated_number) <= max(digit * 0.999, allowed) + 1e-9 * abs(number):
            return True
    return False


def _agree_values(left: Side, right: Side) -> bool:
    slack = left.value.tolerance + right.value.tolerance + 1e-9
    return any(abs(a - b) <= slack * max(abs(a), abs(b)) for a in _pairs(left) for b in _pairs(right))


def _expected(computed: Side, stated: Side) -> str:
    dimension, factor, _ = unit_of(stated.unit)
    if dimension == "%":
        best = min((computed.value.raw * 100, computed.value.raw), key=lambda v: abs(v - stated.first))
        return f"{plain_number(best)} %"
    scaled = computed.value.decimal * (1e3 if dimension == "ms" else 1.0) / factor
    best = min((computed.value.raw, scaled), key=lambda v: abs(v - stated.first))
    return f"{plain_number(best)} {stated.unit}".rstrip()


def _compared(statement: Statement, relation: Relation, text: str) -> Claim | None:
    """``35GB < 80GB``: both sides numbers of the same unit."""
    left, right = relation.left, relation.right
    same = unit_of(left.unit)[0] == unit_of(right.unit)[0]
    if not same or (left.operators == 0 and right.operators == 0 and not left.unit):
        return None
    holds = [_HOLDS[relation.sign](a, b) for a in _pairs(left)[1:] for b in _pairs(right)[1:]]
    if all(holds):
        return Claim(
            statement.line, text, "confirmed", f"{left.text} {relation.sign} {right.text} holds.", left.text, None
        )
    if not any(holds):
        return Claim(
            statement.line,
            text,
            "refuted",
            f"{left.text} is not {relation.sign} {right.text}.",
            left.text,
            f"{relation.sign} {right.text}",
        )
    return None
