"""Sentences made elsewhere, with the figures in them linked to their derivations."""

from __future__ import annotations

import re

from optimizer.reporting.document import Figure
from optimizer.reporting.ledger import Ledger

KNOWN = (
    "ttft_p99_ms",
    "tpot_p99_ms",
    "ttft_p50_ms",
    "tpot_p50_ms",
    "prefill_p50_ms",
    "prefill_p99_ms",
    "max_request_rate",
    "memory",
    "memory-budget",
    "memory-share",
    "objective",
    "objective-served",
    "objective-unserved",
    "5th-ttft_p99_ms",
    "95th-ttft_p99_ms",
    "5th-tpot_p99_ms",
    "95th-tpot_p99_ms",
    "availability",
)
"""Figures that sentences of an answer speak of; of two with the same text, neither is linked."""


def linked(sentence: str, ledger: Ledger) -> tuple[str | Figure, ...]:
    """The sentence in parts: words, and figures where their text stands in it as a whole."""
    by_text: dict[str, str | None] = {}
    for id in KNOWN:
        if id in ledger:
            text = ledger.figure(id).text
            by_text[text] = None if text in by_text else id
    named = {text: id for text, id in by_text.items() if id is not None}
    if not named:
        return (sentence,)
    wanted = "|".join(re.escape(text) for text in sorted(named, key=len, reverse=True))
    parts: list[str | Figure] = []
    for piece in re.split(rf"(?<![\w.,−-])({wanted})(?![\w])", sentence):
        if piece in named:
            parts.append(ledger.figure(named[piece] or ""))
        elif piece:
            parts.append(piece)
    return tuple(parts)
