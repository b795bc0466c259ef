"""Judges how many times one thing is another: ``more than twice the bandwidth of the A100``, ``a quarter of a card's memory``.

What is compared are facts of two cards, a size said before and the memory of a card, or the cache and the weights as the report gives
them. A factor in words is rounded freely; it is refuted only if it is off by an eighth.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from optimizer.auditing.claims import subject_claim, verdict_of
from optimizer.auditing.context import Context
from optimizer.auditing.facts import Situation
from optimizer.auditing.measures import shown
from optimizer.auditing.number_words import NUMBER_WORD, NUMBER_WORDS
from optimizer.auditing.sentences import Sentence
from optimizer.auditing.situations import on_gpu
from optimizer.results.audit import Claim

OFF = 0.125
"""Relative: a factor in words that is nearer than this is not called wrong."""
NEAR = 0.06
_NUMBER = rf"(?:\d{{1,3}}(?:[.,]\d+)?|{NUMBER_WORD})"
_WORDS: tuple[tuple[str, float], ...] = (
    (r"half (?:as much )?again|one and a half times|anderthalb(?:mal|fache\w*)|(?:une )?fois et demie", 1.5),
    (r"(?:three|3) quarters of|drei Viertel (?:des|der|von)|(?:les )?trois quarts (?:de|du)", 0.75),
    (r"(?:two|2) thirds of|zwei Drittel (?:des|der|von)|(?:les )?deux tiers (?:de|du)", 2 / 3),
    (r"(?:a|one) quarter of|ein Viertel (?:des|der|von)|(?:un|le) quart (?:de|du)", 0.25),
    (r"(?:a|one) third of|ein Drittel (?:des|der|von)|(?:un|le) tiers (?:de|du)", 1 / 3),
    (r"half (?:of )?(?:the|as|that|a|an|its|what)|halb so|die Hälfte (?:des|der|von)|la moitié (?:de|du)", 0.5),
    (r"twice|double|doppelt|zweimal|das Doppelte|deux fois|(?:le )?double", 2.0),
    (r"threefold|triple|dreimal|das Dreifache|trois fois|(?:le )?triple", 3.0),
)
_TIMES = re.compile(
    rf"\b(?P<n>{_NUMBER})\s?(?:times|mal so|fois)\b|\b(?P<m>\d{{1,3}}(?:[.,]\d+)?)\s?[x×](?=\s(?:the|as|more))",
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
_DOES_NOT = re.compile(r"\b(?:not|nicht|kein\w*|pas|would|could|würde|wäre|serait)\b", re.IGNORECASE)


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
    for match in _TIMES.finditer(text):
        word = (match["n"] or match["m"]).lower().replace(",", ".")
        add(match, float(NUMBER_WORDS[word]) if word in NUMBER_WORDS else float(word), True)
    return found


_FACTS = (
    ("nvlink", re.compile(r"\bNVLink\b")),
    ("bandwidth", re.compile(r"\b(?:bandwidth|memory speed|\w*[Bb]andbreite|bande passante|débit mémoire)\b")),
    ("memory", re.compile(r"\b(?:memory|VRAM|HBM|Speichers?|mémoire)\b")),
)


def judge_factors(sentence: Sentence, context: Context, own: Situation) -> Iterator[Claim]:
    """One claim for the factor of a sentence, where what it compares is known."""
    if sentence.has("past") or sentence.models or _DOES_NOT.search(sentence.text):
        return
    found = factors(sentence.text)
    if len(found) == 1:
        yield from (
            list(_of_two_cards(sentence, found[0], own))
            or list(_of_a_card(sentence, found[0], context, own))
            or list(_of_two_parts(sentence, found[0], context))
        )


def _of_two_cards(sentence: Sentence, factor: Factor, own: Situation) -> Iterator[Claim]:
    """``more than twice the bandwidth of the A100``: a fact of the report's card against that of another."""
    others = [g for g in sentence.gpus if not any(one.own_hardware for one in on_gpu(own, g))]
    ours = [g for g in sentence.gpus if g not in others]
    if len(others) != 1 or len(ours) > 1 or (ours and ours[0].start > others[0].start and factor.start < ours[0].start):
        return
    dimensions = {m.dimension for m in sentence.measures}
    named = [name for name, words in _FACTS if words.search(sentence.text)]
    if "bytes/s" in dimensions:  # "3.35 TB/s from memory": how fast it is, and not how large
        named = ["bandwidth" if name == "memory" else name for name in named]
    if not named or not own.own_hardware or dimensions - {"", "%", "bytes", "bytes/s"}:
        return
    kinds = list(on_gpu(own, others[0]))
    sizes = [m for m in sentence.measures if m.dimension == "bytes" and others[0].end <= m.start <= others[0].end + 12]
    kinds = [one for one in kinds if not sizes or sizes[0].says(one.values["nominal_memory"])] or kinds
    other = [one.values.get(named[0]) for one in kinds]
    mine = own.values.get(named[0])
    values = [mine / one for one in other if one and mine]
    yield from _judged(
        sentence, factor, values, f"{named[0].capitalize()}: {own.gpu.name}", f"{others[0].text}", mine, other
    )


_WHOLE_CARD = re.compile(
    r"\W*(?:the\s|a\s|an\s|one\s|des\s|dem\s|la\s|)?(?:memory|VRAM|HBM|Speichers?|mémoire)?\s?(?:of|on|einer|der|eines|d'une|d'un|de)?\s?"
    r"(?:the|a|an|one|a single|einer|une|cette|la)?\s?(?:memory of (?:a|one) |Speichers? (?:einer|der) |mémoire d'une )?$",
    re.IGNORECASE,
)
_BACK = re.compile(
    r"^\W*(?:that|this|it|which|they|das|dies|es|sie|cela|ce qui|c'est|il|elle|ils|elles)\b", re.IGNORECASE
)
_CARDS = re.compile(r"\b(?:card|GPU|Karte|carte)\b", re.IGNORECASE)


def _of_a_card(sentence: Sentence, factor: Factor, context: Context, own: Situation) -> Iterator[Claim]:
    """``This is a quarter of the memory of one card``: the size said last against the memory of the report's card."""
    behind = sentence.text[factor.end :]
    own_card = [g for g in sentence.gpus if any(one.own_hardware for one in on_gpu(own, g))]
    if (
        factor.value >= 1
        or not _BACK.match(sentence.text)
        or not re.search(r"\b(?:memory|VRAM|HBM|Speicher\w*|mémoire)\b", behind)
    ):
        return
    if not (own_card or _CARDS.search(behind)) or len(own_card) != len(sentence.gpus) or sentence.measures:
        return
    line, sizes = context.said.get("sizes", (-9, []))
    if len(sizes) != 1 or not 0 <= sentence.statement.line - line <= 1:
        return
    rooms = [own.values["memory"], own.values["nominal_memory"]]
    yield from _judged(
        sentence, factor, [sizes[0] / room for room in rooms], shown(sizes[0], "bytes"), own.gpu.name, sizes[0], rooms
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
    if a and b:
        yield from _judged(
            sentence, factor, [a / b], f"{first}: {shown(a, 'bytes')}", f"{second}: {shown(b, 'bytes')}", a, [b]
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


def _judged(
    sentence: Sentence,
    factor: Factor,
    ratios: list[float],
    what: str,
    than: str,
    first: float | None,
    others: Sequence[float | None],
) -> Iterator[Claim]:
    verdicts = {factor.holds(one) for one in ratios}
    if not ratios or (None in verdicts and True not in verdicts):
        return
    right = True in verdicts
    unit = "bytes/s" if "andwidth" in what or "Nvlink" in what else "bytes"
    second = next((one for one in others if one), 0.0)
    words = f"{what} ({shown(first or 0.0, unit)}) is {ratios[0]:.3g} times {than} ({shown(second, unit)})"
    reason = words[0].upper() + words[1:] + ("." if right else f", not {factor.text}.")
    yield subject_claim(
        sentence, verdict_of(right), reason, what, "ratio", factor.relation, f"{ratios[0]:.3g} times", factor.text
    )
