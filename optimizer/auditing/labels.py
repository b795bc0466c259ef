"""Finding the figure that belongs to a label: ``Hidden Size: 8192``, ``hidden size of 8192``, ``64 attention heads``."""

from __future__ import annotations

import re
from dataclasses import dataclass

from optimizer.auditing.reading import Statement
from optimizer.auditing.units import Amount, amounts
from optimizer.results.audit import Claim, Verdict

GPU = r"(?:GPU|device|rank|card|accelerator)"
"""What people call one GPU."""
_CONNECT = re.compile(
    r"\s?(?:\([^)\d]{0,40}\))?\s?(?:per GPU )?(?:[:=|≈~]|is|are|of|at|was|uses?|holds?|totals?|needs?|takes?|occup(?:y|ies))?\s?"
    r"(?:about|approximately|approx\.?|roughly|around|nearly|only|just|[~≈])?\s?"
)
_LAST = re.compile(r"(?:=|≈)\s*[~≈]?\s*(?=[\d])")


@dataclass(frozen=True, slots=True)
class LabelFound:
    """A figure beside its label; ``derived``: it is the result of an equation in the statement."""

    amount: Amount
    derived: bool


def after(text: str, label: str, dimension: str, noun: str = "") -> LabelFound | None:
    """The figure that follows a label, or ends the equation the label begins.

    Args:
        text: where to look.
        label: regular expression of the label.
        dimension: of the figure wanted.
        noun: regular expression that has to follow the figure.
    """
    match = re.search(label, text, re.IGNORECASE)
    if not match:
        return None
    rest = text[match.end() :]
    gap = _CONNECT.match(rest)
    begin = gap.end() if gap else 0
    found = next(iter(amounts(rest)), None)
    equation = re.match(r"[^=≈]{0,40}[=≈:]", rest) and re.search(r"[×x*÷/+·].*[=≈]", rest)
    if equation:
        places = [mark.end() for mark in _LAST.finditer(rest)]
        result = next(iter(amounts(rest[places[-1] :])), None) if places else None
        if result is None or result.start > 1 or result.dimension != dimension:
            return None
        return LabelFound(result, True)
    if found is None or found.start > begin or found.dimension != dimension:
        return None
    tail = rest[found.end :]
    if re.match(r"\s*(?:[×xX*÷/·]|[-–+]\s?\d)", tail) or (noun and not re.match(noun, tail, re.IGNORECASE)):
        return None
    return LabelFound(found, False)


def before(text: str, noun: str, dimension: str = "") -> LabelFound | None:
    """The figure directly before a noun, e.g. ``64 attention heads``."""
    for amount in amounts(text):
        if amount.dimension == dimension and re.match(rf"[\s-]?(?:{noun})", text[amount.end :], re.IGNORECASE):
            if re.search(r"[×xX*÷/·+=]\s*$", text[: amount.start]) and not re.search(r"=\s*$", text[: amount.start]):
                continue
            if re.match(rf"[\s-]?(?:{noun})\w*\s*[×÷/*]\s*\d", text[amount.end :], re.IGNORECASE):
                continue
            return LabelFound(amount, False)
    return None


def claim(
    statement: Statement, verdict: Verdict, reason: str, stated: str | None = None, expected: str | None = None
) -> Claim:
    """A claim about a whole statement."""
    return Claim(statement.line, shortened(statement.text), verdict, reason, stated, expected)


def judged(statement: Statement, amount: Amount, right: bool, expected: str, why: str) -> Claim:
    """Confirmed or refuted against one expected figure; ``why`` says how the figure follows."""
    name = re.search(r"[\d-]", why.split(" ")[0])
    reason = why if name else f"{why[0].upper()}{why[1:]}"
    if not right:
        reason = f"{reason}, not {amount.text}"
    return claim(statement, "confirmed" if right else "refuted", reason + ".", amount.text, expected)


def shortened(text: str) -> str:
    """Text of a claim: long lines are cut."""
    return text if len(text) <= 240 else text[:237] + "..."
