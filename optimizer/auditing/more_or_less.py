"""Judges comparatives without a factor: ``That is less than the network of the node``, ``below the 80 % that are required``."""

from __future__ import annotations

import re
from collections.abc import Iterator

from optimizer.auditing.claims import figure_claim, subject_claim, verdict_of
from optimizer.auditing.context import Context
from optimizer.auditing.facts import Situation
from optimizer.auditing.measures import Measure, shown
from optimizer.auditing.sentences import Sentence
from optimizer.results.audit import Claim

APART = 0.04
"""Relative: nearer figures are called neither more nor less."""
_BACK = re.compile(r"^\W*(?:\w+: )?(?:that|this|it|which|das|dies|es|sie|cela|ce qui|c'est|elle|il)\b", re.IGNORECASE)
_MORE = (
    r"(?:more|faster|larger|higher|bigger|greater|quicker|above|"
    r"mehr|schneller|größer|höher|oberhalb|über|plus|supérieure?s?|au-dessus|davantage)"
)
_LESS = (
    r"(?:less|slower|smaller|lower|fewer|below|under|"
    r"weniger|langsamer|kleiner|niedriger|unterhalb|unter|moins|inférieure?s?|au-dessous|sous)"
)
_THAN = re.compile(
    rf"\b(?:(?P<more>{_MORE})|(?P<less>{_LESS}))\s(?:\w+\s)?(?:than|as|als|que|à|of)\s(?:what\s|the\s|its\s|our\s|das\s|die\s|der\s"
    rf"|le\s|la\s|l')?",
    re.IGNORECASE,
)
_NETWORK = re.compile(
    r"\b(?:InfiniBand|Ethernet|network|fabric|RoCE|Netz\w*|réseau)\b[^.;]{0,24}\b(?:nodes?|servers?|hosts?|machines?|Knotens?|Servers?"
    r"|Rechners?|nœuds?|serveurs?)\b"
)
_NVLINK = re.compile(r"\bNVLink\b")
_BANDWIDTH = re.compile(r"\b(?:HBM|memory bandwidth|Speicherbandbreite|bande passante mémoire)\b")


def judge_more_or_less(sentence: Sentence, context: Context, own: Situation) -> Iterator[Claim]:
    """What a sentence compares with the figure that was said last."""
    if sentence.has("past") or sentence.has("hypothetical") or sentence.models or not own.own_hardware:
        return
    if (
        re.search(r"\b(?:not|nicht|kein\w*|pas|half|twice|doppelt|times|mal|fois|%)\s", sentence.text)
        and "%" not in sentence.text
    ):
        return
    yield from _than_a_link(sentence, context, own)
    yield from _share_of_demand(sentence, context, own)


def _than_a_link(sentence: Sentence, context: Context, own: Situation) -> Iterator[Claim]:
    """A rate said just before, against the network of a node, NVLink or the memory."""
    than = _THAN.search(sentence.text)
    if than is None or not _BACK.match(sentence.text) or sentence.measures or sentence.gpus:
        return
    behind = sentence.text[than.end() :]
    names = [
        name
        for name, words in (("network", _NETWORK), ("nvlink", _NVLINK), ("bandwidth", _BANDWIDTH))
        if words.match(behind)
    ]
    said = _last(context, sentence, "bytes/s")
    if len(names) != 1 or said is None or names[0] not in own.values:
        return
    other = own.values[names[0]]
    off = said.value / other - 1
    if abs(off) < APART:
        return
    right = (off > 0) == bool(than["more"])
    reason = f"{said.text} is {'more' if off > 0 else 'less'} than {shown(other, 'bytes/s')} of the {names[0]}."
    yield subject_claim(
        sentence, verdict_of(right), reason, said.text, names[0], ">" if than["more"] else "<", shown(other, "bytes/s")
    )


_ABOVE = re.compile(
    r"\b(?:above|over|more than|exceeds?|beyond|über|oberhalb|mehr als|übertrifft|au-dessus|plus que|dépasse|supérieur)\b",
    re.IGNORECASE,
)
_BELOW = re.compile(
    r"\b(?:below|under|less than|short of|misses|unter|unterhalb|weniger als|verfehlt|au-dessous|en dessous|moins que|inférieur|sous)\b",
    re.IGNORECASE,
)
_NEEDED = re.compile(
    r"\b(?:required|demanded|requirement|needed|asked for|must|gefordert\w*|verlangt\w*|nötig\w*|Vorgabe|exigés?|exigées?|demandés?"
    r"|requis\w*|exige)\b",
    re.IGNORECASE,
)


def _share_of_demand(sentence: Sentence, context: Context, own: Situation) -> Iterator[Claim]:
    """``This is below the 80 % that are required``: a rate that survivors carry against so much of the demand."""
    shares = [m for m in sentence.measures if m.dimension == "%"]
    if len(shares) != 1 or not _BACK.match(sentence.text) or not _NEEDED.search(sentence.text):
        return
    above, below = bool(_ABOVE.search(sentence.text)), bool(_BELOW.search(sentence.text))
    said = _last(context, sentence, "requests/s")
    if said is None or above == below or len(sentence.measures) > 1:
        return
    needed = shares[0].value / 100 * own.problem.workload.requests_per_s
    off = said.value / needed - 1 if needed else 0.0
    if abs(off) < 0.01:
        return
    right = (off > 0) == above
    demand = f"{shares[0].text} of {own.problem.workload.requests_per_s:g} requests/s is {needed:.4g}"
    reason = f"{demand}; {said.text} is {'more' if off > 0 else 'less'}."
    yield figure_claim(
        sentence,
        verdict_of(right),
        reason,
        shares[0],
        f"{needed:.4g} requests/s",
        "share of the demand",
        ">" if above else "<",
    )


def _last(context: Context, sentence: Sentence, dimension: str) -> Measure | None:
    """The only figure of a dimension in the sentence before."""
    before = context.recent[-1] if context.recent else None
    if before is None or not 0 <= sentence.statement.line - before.statement.line <= 1:
        return None
    found = [m for m in before.measures if m.dimension == dimension]
    return found[0] if len(found) == 1 else None
