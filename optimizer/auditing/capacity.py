"""Judges what is said to be enough to hold the weights: ``two 80 GB cards are not enough``, ``671 GB fit into one box of 8 × 80 GB``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from optimizer.auditing.context import Context
from optimizer.auditing.facts import Situation, memory_words
from optimizer.auditing.fitting import denies_fit
from optimizer.auditing.labels import shortened
from optimizer.auditing.measures import Measure, shown
from optimizer.auditing.sentences import Sentence
from optimizer.auditing.situations import about
from optimizer.results.audit import Claim, Parsed

_ENOUGH = re.compile(
    r"\b(?:enough|suffi\w+|would do|genüg\w+|reich(?:t|en|ten)|ausreich\w+|fits?|fitted|passt|passen"
    r"|hineinpassen|tient|tiennent|loge\w*|can hold|could hold|holds?|can store|fasst|fassen|kann\b.*\baufnehmen"
    r"|peut contenir|can take|has room for|have room for|bietet Platz|bieten Platz)\b",
    re.IGNORECASE,
)
_TOO_MUCH = re.compile(
    r"\b(?:too (?:large|big|much|small|little)|zu (?:groß|viel|klein|wenig)|trop (?:grand|gros|petit)\w*|exceeds?|übersteig\w+|sprengt"
    r"|dépassent?|do(?:es)? not fit|overflows?)\b",
    re.IGNORECASE,
)
_WEIGHTS = re.compile(
    r"\b(?:weights?|model|checkpoint|parameters|it|them|\w*[Gg]ewichten?|Modell|Parameter|es|sie|poids|modèle|paramètres|le|les)\b"
)
_OTHER = re.compile(
    r"\b(?:\d/\d|half|quarter|Hälfte|Viertel|moitié|quart|cache|KV|activations?|Aktivierungen|sequences?|Sequenzen|séquences|batch|draft|adapters?|embedding|layers?|Schichten|stage"
    r"|shard|slice|expert|RAM|host|disk|context|Kontext|contexte|tokens?|Token|jetons?|requests?|Anfragen|comfortably|barely|knapp"
    r"|together with|plus|users?|Nutzer|loads?|traffic|target|Ziel)\b",
    re.IGNORECASE,
)
_CARDS = re.compile(
    r"(?<![\w-])(?P<count>\d{1,3}|\w+(?: \w+)?)\s?(?:[×x]\s?)?(?P<size>\d[\d.,]*[\s-]?G[Bo][\s-])?(?:\w+\s)?"
    r"(?P<cards>GPUs?|cards?|accelerators?|Karten?|cartes?)\b",
)
_NODE = re.compile(r"\b(?:box|node|server|machine|host|chassis|Knoten|Server|Maschine|Rechner|nœud|serveur)\b")
_BOX = re.compile(r"(?P<count>\d{1,3})\s?[×x]\s?(?P<size>\d[\d.,]*)\s?G[Bo]\b")
COUNTS = {
    "a": 1, "an": 1, "one": 1, "single": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "eight": 8, "sixteen": 16,
    "ein": 1, "eine": 1, "einer": 1, "einzelne": 1, "einzelnen": 1, "einzige": 1, "einzigen": 1, "zwei": 2, "drei": 3, "vier": 4,
    "fünf": 5, "sechs": 6, "acht": 8, "un": 1, "une": 1, "seul": 1, "seule": 1, "deux": 2, "trois": 3, "quatre": 4, "huit": 8,
}  # fmt: skip
TIGHT = 0.93
"""Weights beyond this share of the memory leave no room to run: neither "enough" nor "not enough" is wrong then."""


@dataclass(frozen=True, slots=True)
class Room:
    """What is to hold the weights: ``count`` devices of ``each`` bytes."""

    count: float
    each: float

    @property
    def total(self) -> float:
        """Bytes of all of them."""
        return self.count * self.each


def judge_capacity(sentence: Sentence, context: Context, own: Situation) -> Iterator[Claim]:
    """One claim for a sentence that says whether a number of devices holds the weights of a model."""
    text = sentence.text
    enough, too_much = _ENOUGH.search(text), _TOO_MUCH.search(text)
    if not (enough or too_much) or _OTHER.search(text) or sentence.strategies or sentence.has("past"):
        return
    meant = about(sentence, (0, len(text)), context, own)
    known = [one for one in meant.situations if "weights" in one.values]
    if not known:
        return
    need = _need(sentence, known)
    room = _room(sentence, known[0], need[1])
    if room is None or (need[1] is None and not _WEIGHTS.search(text) and not _elliptic(sentence)):
        return
    denied = denies_fit(sentence)
    says = denied if too_much and not (enough and "fit" in too_much.group()) else not denied
    if too_much and "not fit" in too_much.group():
        says = False
    holds = {value <= room.total for value in need[0]}
    if len(holds) != 1 or (says is False and any(value > TIGHT * room.total for value in need[0]) and holds == {True}):
        return
    fits = holds.pop()
    each, total = memory_words(room.each), memory_words(room.each, room.count)
    how = f"{shown(need[0][0], 'bytes')} of weights against {room.count:,.0f} × {each}" + (
        "" if room.count == 1 else f" = {total}"
    )
    yield Claim(
        sentence.statement.line, shortened(sentence.statement.text), "confirmed" if fits == says else "refuted",
        f"{known[0].model.name}: {how}.", None, "fits" if fits else "does not fit",
        Parsed(known[0].model.name, "weights", None, "bytes", "≤" if says else ">"),
    )  # fmt: skip


def _elliptic(sentence: Sentence) -> bool:
    """``- fits on four H100`` below a heading about the model."""
    return bool(
        re.match(r"\W*(?:fits?|passt|tient|loge)\b", sentence.text, re.IGNORECASE)
        and re.search(r"\b(?:model|Modell|modèle|weights|Gewichte|poids)\b", sentence.statement.section, re.IGNORECASE)
    )


def _need(sentence: Sentence, known: list[Situation]) -> tuple[list[float], Measure | None]:
    """The weights: the size that the sentence states first and that is one of the model's, else the model's own."""
    weights = [one.values["weights"] for one in known]
    for measure in sentence.measures:
        if measure.dimension == "bytes" and any(measure.says(value, 0.03) for value in weights):
            return [measure.value], measure
    return weights, None


def _room(sentence: Sentence, one: Situation, need: Measure | None) -> Room | None:
    text = sentence.text
    nominal = max(one.values["memory"], one.values["nominal_memory"])
    sizes = [m for m in sentence.measures if m.dimension == "bytes" and m is not need]
    box = _BOX.search(text)
    if box:
        return Room(float(box["count"]), float(box["size"].replace(",", ".")) * 1e9)
    if len(sizes) > 1 or (sizes and not _of_cards(text, sizes[0])):
        return None
    each = sizes[0].value if sizes else nominal
    counts = list(_counts(sentence))
    if len(counts) == 1:
        return Room(counts[0], each)
    nodes = _NODE.search(text)
    if not counts and nodes and not sizes and one.own_hardware and not nodes.group().endswith("s"):
        return Room(one.values["gpus_per_node"], nominal)
    return None


def _of_cards(text: str, size: Measure) -> bool:
    """Whether a size is what a device offers: ``80 GB cards``, ``an H100 with 80 GB``."""
    behind = re.match(r"[\s-](?:\w+\s)?(?:GPUs?|cards?|accelerators?|Karten?|cartes?|[ABHL]\d)", text[size.end :])
    ahead = re.search(
        r"(?:GPUs?|cards?|accelerators?|Karten?|cartes?|[ABHL]\d{1,3}S?s?|SXM|PCIe)\s(?:of|with|à|de|zu|mit)\s(?:je\s)?$",
        text[: size.start],
    )
    return bool(behind or ahead)


def _counts(sentence: Sentence) -> Iterator[float]:
    """Numbers of devices named in the sentence."""
    for found in _CARDS.finditer(sentence.text):
        words = found.group().lower().split()[:-1]
        for word in words:
            if word.isdigit() or word in COUNTS:
                yield float(word) if word.isdigit() else float(COUNTS[word])
                break
    for gpu in sentence.gpus:
        if re.match(r"[\s-]*(?:\d+ ?G[Bo] )?(?:GPUs?|cards?|Karten?|cartes?)\b", sentence.text[gpu.end :]):
            continue
        before = re.findall(r"[^\W_]+", sentence.text[: gpu.start].lower())[-2:]
        number = next((word for word in reversed(before) if word.isdigit() or word in COUNTS), None)
        if number:
            yield float(number) if number.isdigit() else float(COUNTS[number])
