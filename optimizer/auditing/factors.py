"""Judges how many times one thing is another: ``more than twice the bandwidth of the A100``, ``half of the model's context``.

Each side is a figure, a quantity of the lexicon, a card (of which it is the fact that the other side is of) or what was said before
(``compared``). A factor in words is rounded freely; it is refuted only if it is off by an eighth.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from optimizer.auditing.claims import subject_claim, verdict_of
from optimizer.auditing.compared import pairs_of
from optimizer.auditing.context import Context
from optimizer.auditing.facts import Situation
from optimizer.auditing.fractions import fractions_in
from optimizer.auditing.measures import shown
from optimizer.auditing.number_words import NUMBER_WORD, NUMBER_WORDS
from optimizer.auditing.sentences import Sentence
from optimizer.results.audit import Claim

OFF = 0.12
"""Relative: a factor in words that is nearer than this is not called wrong."""
NEAR = 0.06
_NUMBER = rf"(?:\d{{1,3}}(?:[.,]\d+)?|{NUMBER_WORD})"
_WORDS: tuple[tuple[str, float], ...] = (
    (r"half (?:as much )?again|one and a half times|anderthalb(?:mal|fache\w*)|(?:une )?fois et demie", 1.5),
    (r"half (?:of )?(?:the|as|that|a|an|its|what|our)|halb so|die Hälfte (?:des|der|von)|la moitié (?:de|du)", 0.5),
    (r"twice|double|doppelt|zweimal|das Doppelte|deux fois|(?:le )?double", 2.0),
    (r"threefold|triple|dreimal|das Dreifache|trois fois|(?:le )?triple", 3.0),
)
_TIMES = re.compile(
    rf"\b(?P<n>{_NUMBER})(?:\s(?:times|mal so|fois)|-?mal so|-?fach\w*|-Fache\w*|fache\w*)\b"
    rf"|\b(?P<m>\d{{1,3}}(?:[.,]\d+)?)\s?[x×](?=\s(?:the|as|more))",
    re.IGNORECASE,
)
_PERCENT = re.compile(
    r"(?P<n>\d{1,3}(?:[.,]\d+)?)\s?(?:%|percent|Prozent|pour cent)\s(?:(?P<up>more|faster|higher|larger|above|mehr|schneller|höher"
    r"|größer|de plus"
    r"|plus)|(?P<down>less|slower|lower|smaller|below|weniger|langsamer|niedriger|kleiner|de moins|moins))\b",
    re.IGNORECASE,
)
_MORE = re.compile(
    r"\b(?:more than|over|well over|at least|mehr als|über|mindestens|gut|plus de|plus du|au moins|bien plus de)\s(?:as |the |the\s)?$",
    re.IGNORECASE,
)
_ALMOST = re.compile(
    r"\b(?:almost|nearly|just under|less than|not quite|fast|beinahe|knapp|weniger als|presque|près de|moins de)\s(?:as |the )?$",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Factor:
    """How many times; ``relation`` is "=", "≥" or "≤" ("almost twice"); ``free`` where it is a word and no figure."""

    start: int
    end: int
    text: str
    value: float
    relation: str
    free: bool

    def holds(self, ratio: float) -> bool | None:
        """None: neither right nor clearly wrong."""
        off = ratio / self.value - 1
        if self.relation == "≥":
            return True if off >= -0.005 else False if off < -0.03 else None
        if self.relation == "≤":
            return True if -0.2 <= off <= 0.01 else False if off > 0.05 or off < -0.3 else None
        if abs(off) <= (NEAR if self.free else 0.025):
            return True
        return False if abs(off) > (OFF if self.free else 0.06) else None


def factors(text: str) -> list[Factor]:
    """The factors of a text, none inside another."""
    found: list[Factor] = []

    def add(match: re.Match[str], value: float, free: bool) -> None:
        if value <= 0 or any(match.start() < one.end and one.start < match.end() for one in found):
            return
        before = text[: match.start()]
        relation = "≥" if _MORE.search(before) else "≤" if _ALMOST.search(before) else "="
        found.append(Factor(match.start(), match.end(), match.group(), value, relation, free))

    for match in _PERCENT.finditer(text):
        share = float(match["n"].replace(",", ".")) / 100
        add(match, 1 + share if match["up"] else 1 - share, False)
    for pattern, value in _WORDS:
        for match in re.finditer(rf"\b(?:{pattern})\b", text, re.IGNORECASE):
            add(match, value, True)
    for one in fractions_in(text):
        if _OF.match(text[one.end :]) and not any(one.start < f.end and f.start < one.end for f in found):
            before = text[: one.start]
            relation = "≥" if _MORE.search(before) else "≤" if _ALMOST.search(before) else "="
            found.append(Factor(one.start, one.end + _end_of(text, one.end), one.text, one.value, relation, True))
    for match in _TIMES.finditer(text):
        word = (match["n"] or match["m"]).lower().replace(",", ".")
        add(match, float(NUMBER_WORDS[word]) if word in NUMBER_WORDS else float(word), "." not in word)
    return found


_OF = re.compile(r"\s(?:of|as|des|der|von|vom|so|de|du|d')\b", re.IGNORECASE)


def _end_of(text: str, end: int) -> int:
    found = _OF.match(text[end:])
    return found.end() if found else 0


_FOR_EVERY = re.compile(
    r"\b(?:for (?:each|every|one)|to (?:each|every)|auf (?:jede[rsn]?|ein(?:en|e)?)|pour (?:chaque"
    r"|une?))\s(?P<of>[^,;.\d]{3,40}?)(?=,?\s(?:the|we|it|there|\d"
    rf"|{NUMBER_WORD}|der|kommen|liest|on|le|il)\b)",
    re.IGNORECASE,
)
"""``for every output token the service reads five prompt tokens``."""


_THAN = re.compile(r"\b(?:as|than|what|wie|als|que|qu['’]\w+|ce que|was)\b", re.IGNORECASE)


def _compares(text: str, factor: Factor) -> bool:
    """Whether a factor is said of one thing and another, by a verb before it or a "than" behind it."""
    return bool(_IS.search(text[: factor.start]) or _THAN.search(text[factor.end :]))


_IS = re.compile(
    r"(?:\b(?:is|are|be|could|can|fills?|(?:uses?|takes?)(?: up)?"
    r"|könnte|kann|füllt|pourrait|runs?|comes?|makes?|gives?|offers?|delivers?|has|have|at|of|ist|sind|läuft|hat|haben|also|bis|zum|est|sont|a|ont|fait"
    r"|font|soit|à|tourne\w*)\b(?:\s[^\W\d]+){0,4}?|[,:;(])\s*$",
    re.IGNORECASE,
)
_AS_MANY = re.compile(
    r"\s?(?:as many|more|so viele|plus de|autant de)\s(?P<of>[^,;.\d]{3,40}?)\s(?:as|than|wie|als|que)\s", re.IGNORECASE
)
"""``eight times as many query heads as KV heads``: both sides stand behind the factor."""


_OF_WHAT_WAS_SAID = re.compile(
    r"(?:\S+\s){1,2}(?:that|as much|so viel|davon|cela|autant)(?:,\s\S{1,20},)?\s(?:in|im|with|mit|bei|en|avec)\s"
    r"|(?:\S+\s){1,3}(?:(?:of|from) (?:that|it|this|them|these|those)|davon|de (?:cela|ceux-ci|celles-ci)),\s\D{0,12}\d",
    re.IGNORECASE,
)
"""``989 TFLOPS in bf16, twice that in FP8``, ``65.5 GB; a quarter of that, 16.4 GB``:
what the factor is of stands before it, and what it is said of behind."""


def judge_factors(sentence: Sentence, context: Context, own: Situation) -> Iterator[Claim]:
    """One claim for the factor of a sentence, where what it compares is known."""
    if sentence.has("past") or sentence.models or sentence.has("negation"):
        return
    per = _FOR_EVERY.search(sentence.text)
    counts = [m for m in sentence.measures if not m.dimension and not m.unit]
    if per and len(counts) == 1 and counts[0].start > per.end():
        one = counts[0]
        said = Factor(one.start, one.end, one.text, one.value, "=", True)
        yield from _compared(sentence, said, (one.end, len(sentence.text)), per.span("of"), context, own)
        return
    found = factors(sentence.text)
    if len(found) != 1:
        return
    factor = found[0]
    behind, before = (factor.end, len(sentence.text)), (0, factor.start)
    as_many = _AS_MANY.match(sentence.text[factor.end :])
    if as_many:
        before, behind = (factor.end, factor.end + as_many.end("of")), (factor.end + as_many.end(), len(sentence.text))
    elif _OF_WHAT_WAS_SAID.match(sentence.text[factor.start :]):
        last = max((m.start for m in sentence.measures if m.end <= factor.start), default=0)
        before, behind = behind, (last, factor.start)
    yield from (
        list(_compared(sentence, factor, before, behind, context, own))
        or list(_of_two_parts(sentence, factor, context))
    )


def _compared(
    sentence: Sentence, factor: Factor, first: tuple[int, int], second: tuple[int, int], context: Context, own: Situation
) -> Iterator[Claim]:  # fmt: skip
    """The two sides of a factor, by every meaning that both may have alike."""
    pairs = list(pairs_of(sentence, first, second, context, own))
    if not pairs:
        return
    ratios = [(a / b, one, other) for one, other in pairs for a in one.values for b in other.values if a and b]
    verdicts = [factor.holds(ratio) for ratio, *_ in ratios]
    if True in verdicts:
        ratio, one, other = ratios[verdicts.index(True)]
    elif verdicts and None not in verdicts:
        ratio, one, other = ratios[0]
    else:
        return
    right = True in verdicts
    if not right and first[0] < factor.start and not _compares(sentence.text, factor):
        return  # "prompt + half the output": no comparison of the two
    yield _said_of(sentence, factor, right, ratio, one.words, other.words)


def _said_of(sentence: Sentence, factor: Factor, right: bool, ratio: float, what: str, than: str) -> Claim:
    reason = f"{what} is {ratio:.3g} times {than}"
    reason = reason[0].upper() + reason[1:] + ("." if right else f", not {factor.text.strip()}.")
    return subject_claim(
        sentence, verdict_of(right), reason, what, "ratio", factor.relation, f"{ratio:.3g} times", factor.text.strip()
    )


_PART = {
    "weights": re.compile(r"\b(?:weights?|Gewichte\w*|poids)\b", re.IGNORECASE),
    "cache": re.compile(r"\b(?:cache|KV|Cache)\b", re.IGNORECASE),
}


def _of_two_parts(sentence: Sentence, factor: Factor, context: Context) -> Iterator[Claim]:
    """``the cache is twice as large as the weights``: sizes of both, each said once in the lines before."""
    if any(m.dimension == "bytes" for m in sentence.measures):
        return
    places = {name: found.start() for name, words in _PART.items() if (found := words.search(sentence.text))}
    if len(places) != 2:
        return
    first, second = sorted(places, key=lambda name: places[name])
    sizes = {name: _said(name, sentence, context) for name in places}
    a, b = sizes[first], sizes[second]
    if a and b and (right := factor.holds(a / b)) is not None:
        yield _said_of(
            sentence, factor, right, a / b, f"{first} ({shown(a, 'bytes')})", f"{second} ({shown(b, 'bytes')})"
        )


def _said(name: str, sentence: Sentence, context: Context) -> float | None:
    """The one size that the sentence before gives right behind a name, or before it."""
    for earlier in reversed(context.recent[-2:]):
        if not 0 <= sentence.statement.line - earlier.statement.line <= 2:
            continue
        named = _PART[name].search(earlier.text)
        sizes = [m for m in earlier.measures if m.dimension == "bytes"]
        if named and 1 <= len(sizes) <= 2:
            behind = [m for m in sizes if m.start > named.start()]
            return float((behind or sizes)[0].value)
    return None
