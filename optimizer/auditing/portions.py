"""Shares written as words: ``half of a card``, ``zu einem Drittel``, ``les trois quarts`` become figures in percent.

Only where a sentence speaks of what fills a memory: halves of anything else are for whoever knows what they are halves of.
"""

from __future__ import annotations

import re

from optimizer.auditing.measures import Measure

_WORDS = (
    (r"(?:two[\s-]thirds|zwei Drittel\w*|(?:les )?deux tiers|dos tercios)", 200 / 3),
    (r"(?:three[\s-](?:quarters|fourths)|drei Viertel\w*|dreiviertel|(?:les )?trois quarts|tres cuartos)", 75.0),
    (r"(?:(?:a|one)[\s-]third|einem Drittel|ein Drittel|(?:un|le) tiers|un tercio)", 100 / 3),
    (r"(?:(?:a|one)[\s-](?:quarter|fourth)|einem Viertel|ein Viertel|(?:un|le) quart|un cuarto)", 25.0),
    (r"(?:(?:a|one)[\s-]fifth|einem Fünftel|ein Fünftel|(?:un|le) cinquième|un quinto)", 20.0),
    (r"(?:half|(?:zur |die )?Hälfte|halb|(?:la |à )?moitié|la mitad)", 50.0),
)
ROUND = 0.17
"""Relative: nobody calls 41 % half, nor 26 % a third."""
_FILLED = re.compile(
    r"\b(?:weights?|Gewichte\w*|poids|pesos)\b.*\b(?:cards?|GPUs?|memory|VRAM|HBM|Karten?|Speichers?|cartes?|mémoire|tarjetas?)\b"
    r"|\b(?:cards?|GPUs?|memory|VRAM|HBM|Karten?|Speichers?|cartes?|mémoire|tarjetas?)\b.*\b(?:weights?|Gewichte\w*|poids|pesos)\b",
    re.IGNORECASE,
)
_FILLS = re.compile(
    r"\b(?:fill\w*|full|taken|takes?|occup\w+|eats?|eaten|uses? up|used up|claim\w*|füll\w*|gefüllt|voll|beleg\w*|nehmen|nimmt|rempli\w*"
    r"|occupe\w*|prennent|prend|ocupa\w*|llena\w*)\b",
    re.IGNORECASE,
)
_OTHER = re.compile(
    r"\b(?:FP8|fp8|int4|INT4|AWQ|GPTQ|quanti[sz]\w+|cache|would|if|würde\w*|wäre\w*|wenn|falls|serait|seraient|si|than|als|que|not|nicht|pas"
    r"|each half|other half|andere Hälfte|autre moitié|rest|left|free|frei|übrig|libres?|restant\w*)\b"
)


def portions(text: str) -> list[Measure]:
    """The shares that the weights are said to take of a memory, as figures in percent with the tolerance of such words."""
    if not _FILLED.search(text) or not _FILLS.search(text) or _OTHER.search(text) or "%" in text:
        return []
    found: list[Measure] = []
    for pattern, value in _WORDS:
        for match in re.finditer(rf"(?<![\w-]){pattern}(?![\w-])", text, re.IGNORECASE):
            if not any(match.start() < one.end and one.start < match.end() for one in found):
                said = match.group()
                found.append(
                    Measure(match.start(), match.end(), said, said, "%", "%", (value,), (value * ROUND,), value)
                )
    return found
