"""Written-out arithmetic as data: ``2 × 4 × 1 = 8 GPUs`` becomes operands, operators and a value in every plausible reading.

Whoever writes ``140GB ÷ 2 = 70GB`` may mean decimal or binary units or none at all, so an expression has a value in each
reading; it is wrong only where every reading is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

from optimizer.auditing.units import NUMBER, UNIT, unit_of

_TOKEN = re.compile(
    rf"(?P<number>(?<![\w.,])(?:{NUMBER}))(?:[\s-]?(?P<unit>{UNIT}))?"
    r"|(?P<relation>==|<=|>=|=|≈|≃|≅|~=|≤|≥|<|>)|(?P<operator>\*\*|\^|[×✕·∙*÷/+−–-]|[xX](?=[\s\d(]))"
    r"|(?P<open>\()|(?P<close>\))|(?P<word>[A-Za-z_$#][\w'’.#-]*(?:/[A-Za-z]+)*)|(?P<space>\s+)|(?P<other>.)"
)
_OPERATORS = {"x": "×", "X": "×", "*": "×", "·": "×", "∙": "×", "✕": "×", "/": "÷", "−": "-", "–": "-", "**": "^"}
_RELATIONS = {"==": "=", "≃": "≈", "≅": "≈", "~=": "≈", "<=": "≤", ">=": "≥"}
MOST_BILLIONS = 2000
# Words that change the number beside them: an expression next to one of these is not the whole expression.
_CHANGING = frozenset(
    (
        "half", "twice", "double", "triple", "sqrt", "log", "log2", "log10", "ln", "sum", "min", "max", "ceil",
        "floor", "of", "minus", "plus", "times", "per", "over", "divided", "by", "up", "round", "minimum", "maximum",
        "mean", "avg", "average", "remaining", "than", "from", "between", "and", "or", "to"
    )
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ExpressionValue:
    """A number in four readings: as printed, in decimal units, in binary units; ``tolerance`` is relative, from rounding."""

    raw: float
    decimal: float
    binary: float
    tolerance: float


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a relation. ``operators`` 0 is a lone number; ``unit`` and ``step`` are those of a lone number."""

    value: ExpressionValue
    operators: int
    first: float
    unit: str
    step: float
    text: str
    worded: bool = False
    """Words or other numbers of the same clause stand beside it that may change what it says."""


@dataclass(frozen=True, slots=True)
class Relation:
    """Two neighbouring sides of a chain such as ``a × b = c``; ``label`` is what stands before the chain."""

    left: Side
    right: Side
    sign: str
    label: str


@dataclass(slots=True)
class _Token:
    kind: str
    text: str
    start: int
    end: int
    unit: str = ""


def relations(text: str) -> Iterator[Relation]:
    """Every relation of a text whose two sides are numbers or arithmetic on numbers."""
    tokens: list[_Token] = []
    for m in _TOKEN.finditer(text):
        kind = "number" if m["number"] else m.lastgroup or "other"
        tokens.append(_Token(kind, m["number"] or m.group(), m.start(), m.end(), m["unit"] or ""))
    tokens = [token for token in tokens if token.kind != "space"]
    marks = [i for i, token in enumerate(tokens) if token.kind == "relation"]
    if not marks:
        return
    edges = [-1, *marks, len(tokens)]
    parts = [tokens[a + 1 : b] for a, b in pairwise(edges)]
    label = text[: tokens[marks[0]].start].strip()
    for index, mark in enumerate(marks):
        last = index + 1 == len(parts) - 1
        left = _suffix(parts[index]) if index == 0 else _prefix(parts[index], whole=True)
        right = _prefix(parts[index + 1], whole=not last)
        if left and right:
            sign = _RELATIONS.get(tokens[mark].text, tokens[mark].text)
            one = _side(left, text)
            yield Relation(replace(one, worded=_worded(parts[index], left[1])), _side(right, text), sign, label)


def _worded(part: list[_Token], used: list[_Token]) -> bool:
    behind = [token for token in part if token.start >= used[-1].end]
    before = [token for token in part if token.end <= used[0].start]
    stop = max((i for i, token in enumerate(before) if token.kind == "other" and token.text in ",;:.|•…"), default=-1)
    return any(token.kind == "word" for token in behind) or any(token.kind == "number" for token in before[stop + 1 :])


def _side(parsed: tuple[ExpressionValue, list[_Token]], text: str) -> Side:
    value, used = parsed
    numbers = [token for token in used if token.kind == "number"]
    operators = sum(token.kind == "operator" for token in used)
    alone = numbers[0] if len(numbers) == 1 else None
    step = 0.0
    if alone:
        written = alone.text.replace(",", "")
        step = 0.5 * 10 ** -len(written.split(".")[1].split("e")[0].split("E")[0]) if "." in written else 0.5
    first = float(numbers[0].text.replace(",", ""))
    return Side(value, operators, first, alone.unit if alone else "", step, text[used[0].start : used[-1].end].strip())


def _without_functions(tokens: list[_Token]) -> list[_Token]:
    """What stands behind the last function of the part: ``kv(1 token)`` is a name, and its argument no figure."""
    start, depth = 0, 0
    for place, token in enumerate(tokens):
        before = tokens[place - 1] if place else None
        if depth or (token.kind == "open" and before and before.kind == "word" and before.end == token.start):
            depth += (token.kind == "open") - (token.kind == "close")
            start = place + 1
    return tokens[start:]


def _suffix(tokens: list[_Token]) -> tuple[ExpressionValue, list[_Token]] | None:
    """The longest arithmetic that ends the part and is not the tail of something else."""
    tokens = _without_functions(tokens)
    for start, token in enumerate(tokens):
        if token.kind not in ("number", "open"):
            continue
        before = tokens[start - 1] if start else None
        if before is not None:
            if before.kind in ("operator", "other") and before.text not in ":,;|→✓✅•…\"'":
                if not (
                    before.text in "–-−"
                    and before.end < token.start
                    and start >= 2
                    and before.start > tokens[start - 2].end
                ):
                    continue
                # " – " or " - " after words is a dash, after a number it is a minus
                if tokens[start - 2].kind in ("number", "close"):
                    continue
            if before.kind in ("number", "close"):
                continue
            if before.kind == "word" and before.text.lower() in _CHANGING:
                continue
        parsed = _parse(tokens[start:], whole=True)
        if parsed:
            return parsed
    return None


def _prefix(tokens: list[_Token], *, whole: bool) -> tuple[ExpressionValue, list[_Token]] | None:
    """Arithmetic at the start of the part; what follows must not continue it."""
    while tokens and tokens[0].kind == "other" and tokens[0].text in "~≈":
        tokens = tokens[1:]
    if not tokens or tokens[0].kind not in ("number", "open"):
        return None
    return _parse(tokens, whole=whole)


def _parse(tokens: list[_Token], *, whole: bool) -> tuple[ExpressionValue, list[_Token]] | None:
    reader = _ExpressionReader(tokens)
    try:
        value = reader.sum()
    except (ValueError, ZeroDivisionError, OverflowError):
        return None
    rest = tokens[reader.position :]
    if rest and (rest[0].kind in ("operator", "number") or (whole and not _idle(rest))):
        return None
    return value, tokens[: reader.last_used + 1]


def _idle(tokens: list[_Token]) -> bool:
    """Words, remarks in brackets and marks only: nothing that goes on calculating."""
    depth = 0
    for token in tokens:
        depth += (token.kind == "open") - (token.kind == "close")
        if depth == 0 and token.kind in ("number", "operator"):
            return False
    return True


class _ExpressionReader:
    """Recursive descent over tokens; words after an operand are its unit in words ("80 layers ÷ 4 stages")."""

    def __init__(self, tokens: list[_Token]) -> None:
        self.tokens, self.position, self.last_used, self.depth = tokens, 0, 0, 0

    def sum(self) -> ExpressionValue:
        value = self.product()
        while (sign := self.operator("+-")) is not None:
            value = _combine(sign, value, self.product())
        return value

    def product(self) -> ExpressionValue:
        value = self.power()
        while (sign := self.operator("×÷")) is not None:
            value = _combine(sign, value, self.power())
        return value

    def power(self) -> ExpressionValue:
        value = self.operand()
        if self.operator("^") is not None:
            exponent = self.operand().raw
            if abs(exponent) > 64:
                raise ValueError("exponent")
            return ExpressionValue(
                value.raw**exponent, value.decimal**exponent, value.binary**exponent, value.tolerance
            )
        return value

    def operator(self, wanted: str) -> str | None:
        """Consumes an operator, skipping words of the operand before it."""
        ahead = self.position
        while ahead < len(self.tokens) and self.tokens[ahead].kind == "word" and ahead - self.position < 5:
            ahead += 1
        remark = self._remark(ahead)
        for place in (ahead, remark):
            if place < len(self.tokens) and self.tokens[place].kind == "operator":
                token = self.tokens[place]
                sign = _OPERATORS.get(token.text, token.text)
                if sign not in wanted:
                    return None
                if sign == "-" and place + 1 < len(self.tokens) and token.end == self.tokens[place + 1].start:
                    raise ValueError("a range or a negative number")
                self.position = place + 1
                return sign
        return None

    def _remark(self, place: int) -> int:
        """The place after a bracketed remark without arithmetic, e.g. ``(FP16)``."""
        if place < len(self.tokens) and self.tokens[place].kind == "open":
            end = place + 1
            while end < len(self.tokens) and self.tokens[end].kind == "word":
                end += 1
            if end < len(self.tokens) and self.tokens[end].kind == "close" and end > place + 1:
                return end + 1
        return place

    def operand(self) -> ExpressionValue:
        if self.position >= len(self.tokens):
            raise ValueError("nothing there")
        token = self.tokens[self.position]
        self.position += 1
        if token.kind == "open":
            self.depth += 1
            if self.depth > 20:
                raise ValueError("too deep")
            value = self.sum()
            while self.position < len(self.tokens) and self.tokens[self.position].kind == "word":
                self.position += 1
            if self.position >= len(self.tokens) or self.tokens[self.position].kind != "close":
                raise ValueError("bracket left open")
            self.last_used = self.position
            self.position += 1
            self.depth -= 1
            return value
        if token.kind != "number":
            raise ValueError("not a number")
        self.last_used = self.position - 1
        return _number(token)


def _number(token: _Token) -> ExpressionValue:
    written = token.text.replace(",", "")
    raw = float(written)
    # "70B" are billions of parameters, "72,596,282,368 B" are bytes.
    dimension, factor, binary = unit_of("bytes" if token.unit == "B" and abs(raw) >= MOST_BILLIONS else token.unit)
    if dimension == "%":
        factor = binary = 0.01
    if dimension == "ms":
        factor, binary = factor / 1e3, binary / 1e3
    digits = len(written.split(".")[1].split("e")[0].split("E")[0]) if "." in written else 0
    rounded = digits > 0 or (token.unit and abs(raw) >= 100 and dimension != "")
    tolerance = min(0.5 * 10**-digits / abs(raw), 0.03 if digits else 0.004) if rounded and raw else 0.0
    return ExpressionValue(raw, raw * factor, raw * binary, tolerance)


def _combine(sign: str, a: ExpressionValue, b: ExpressionValue) -> ExpressionValue:
    if sign in "×÷":
        tolerance = a.tolerance + b.tolerance
    else:
        size = abs(a.raw) + abs(b.raw)
        result = a.raw + b.raw if sign == "+" else a.raw - b.raw
        tolerance = (a.tolerance * abs(a.raw) + b.tolerance * abs(b.raw)) / abs(result) if result and size else 0.0

    def apply(x: float, y: float) -> float:
        return {"+": x + y, "-": x - y, "×": x * y}[sign] if sign != "÷" else x / y

    return ExpressionValue(apply(a.raw, b.raw), apply(a.decimal, b.decimal), apply(a.binary, b.binary), tolerance)
