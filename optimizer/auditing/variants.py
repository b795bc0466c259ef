"""Judges what follows from a strategy named in a sentence: how many replicas fit on the GPUs, how many GPUs it takes.

``With TP4 we would have four replicas`` on eight GPUs, ``TP8 × PP2, also 8 GPUs``: true or wrong for whichever strategy is named.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from optimizer.auditing.facts import Situation
from optimizer.auditing.labels import shortened
from optimizer.auditing.measures import Measure
from optimizer.auditing.replica_counts import OTHER_HARDWARE
from optimizer.auditing.sentences import Sentence
from optimizer.results.audit import Claim, Parsed, Verdict

_REPLICA = re.compile(
    r"[\s-]+(?:(?:data[\s-]parallel|model|independent|such|separate|gleiche|unabhängige)\s)?(?:replicas?|instances|copies"
    r"|Replikate?n?|Repliken|Instanzen|répliques?|instances)\b",
    re.IGNORECASE,
)
_GPUS = re.compile(
    r"[\s-]+(?:GPUs?|cards|accelerators|Karten|cartes|accélérateurs)\b(?!\s+(?:per|each|je|pro|par|with|of|mit|zu|de|from"
    r"|aus|remain|idle|free|left))",
    re.IGNORECASE,
)
_PART = re.compile(
    r"\b(?:per|each|every|je|pro|jede\w*|par|chaque|more|additional|spare|idle|free|weitere|übrig|frei|libres?|node|server"
    r"|Knoten|nœud|serveur|only|nur|if|were|had|wenn|hätten|si|of the|stage|shares?|sharing|teilen|partag\w*)\b",
    re.IGNORECASE,
)


def judge_variants(sentence: Sentence, own: Situation) -> Iterator[Claim]:
    """Replicas and GPUs beside a strategy that names TP (and PP) and no DP."""
    named = [mention for _, _, mention in sentence.strategies if "tp" in mention.as_dict]
    if len(named) != 1 or sentence.has("negation") or sentence.has("past"):
        return
    degrees = dict(named[0].as_dict)
    for _, _, mention in sentence.strategies:
        if set(mention.as_dict) == {"pp"}:
            degrees.setdefault("pp", mention.as_dict["pp"])
    each = degrees["tp"] * degrees.get("pp", 1)
    total = own.problem.hardware.gpus
    replicas = [m for m in sentence.measures if _REPLICA.match(sentence.text[m.end :])]
    gpus = [m for m in sentence.measures if not m.dimension and _GPUS.match(sentence.text[m.end :])]
    label = f"TP{degrees['tp']}" + (f"·PP{degrees['pp']}" if "pp" in degrees else "")
    if len(replicas) == 1 and not gpus and "dp" not in degrees:
        count, most = replicas[0].value, total // each
        why = f"a replica of {label} takes {each} GPUs; {total} GPUs hold {most} of them"
        if count == most:
            yield _say(sentence, replicas[0], "confirmed", f"{why[0].upper()}{why[1:]}.", "replicas", f"{most}")
        elif count > most and not (_PART.search(sentence.text) or OTHER_HARDWARE.search(sentence.text)):
            yield _say(
                sentence, replicas[0], "refuted", f"{why[0].upper()}{why[1:]}, not {count:,.0f}.", "replicas", f"{most}"
            )
    if len(gpus) == 1 and not replicas and not _PART.search(sentence.text):
        count, needs = gpus[0].value, each * degrees.get("dp", 1)
        if count == needs:
            yield _say(sentence, gpus[0], "confirmed", f"{label} takes {needs} GPUs.", "GPUs", f"{needs}")
        elif count % needs and len(sentence.measures) == 1 and gpus[0].start > sentence.text.find(named[0].text) + 1:
            yield _say(
                sentence, gpus[0], "refuted", f"{label} takes {needs} GPUs, not {count:,.0f}.", "GPUs", f"{needs}"
            )


def _say(sentence: Sentence, measure: Measure, verdict: Verdict, reason: str, quantity: str, expected: str) -> Claim:
    return Claim(
        sentence.statement.line, shortened(sentence.statement.text), verdict, reason, measure.text, expected,
        Parsed(sentence.text[:60], quantity, measure.value, "", "="),
    )  # fmt: skip
