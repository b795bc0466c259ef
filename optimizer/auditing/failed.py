"""What a sentence says that fails, and how many replicas of which strategy that takes."""

from __future__ import annotations

import re
from dataclasses import dataclass

from optimizer.auditing.facts import Degrees, Situation
from optimizer.auditing.sentences import Sentence

FAILS = re.compile(
    r"\b(?:los(?:e|es|ing|t|s)|fail\w*|gone|goes (?:down|away|dark|offline)|drops? out|down|dies|dead|crash\w*|breaks?(?: down)?|broken"
    r"|burns? down|switched off|powered off|outage|offline|without (?:one|a single)|missing|\w*ausf[aä]ll\w*|fällt\b.{0,40}\baus"
    r"|verlier\w+|\w*[Vv]erlust|abgeschaltet|stirbt|defekt\w*|kaputt|ohne (?:eine[nr]?|einen)|tombe\w*|perd\w*|perte|panne|arrêt\w*"
    r"|éteint\w*|défaillan\w*|sans (?:une?|l'une?))\b",
    re.IGNORECASE,
)
_ONE = (
    r"(?:an?|one|the|any one|any|every|each|single|a single|either|of the \w+|the other|one of the \w+|ein\w*|eine einzelne"
    r"|eine[rs]? der \w+"
    r"|eines|der|die|des|une?|une seule|d'une|d'un|l'une? des \w+|la|le|du)"
)
_CARD = re.compile(
    rf"\b{_ONE}\s(?:\w+\s)?(?:GPUs?|cards?|accelerators?|Karten?|Grafikkarten?|cartes?|accélérateurs?)\b"
    r"|\b(?:Karten|GPU-?|Grafikkarten)(?:ausfall|verlust)\w*",
    re.IGNORECASE,
)
_REPLICA = re.compile(
    rf"\b{_ONE}\s(?:\w+\s)?(?:replicas?|instances?|Instanz(?:en)?|Replikate?|répliques?)\b", re.IGNORECASE
)
_NODE = re.compile(
    rf"\b{_ONE}\s(?:\w+\s)?(?:servers?|nodes?|machines?|hosts?|box|workstation|chassis|Servers?|Knotens?|Rechners?|Maschine|serveurs?"
    r"|nœuds?)\b|\b(?:Knoten|Server|Rechner)(?:ausfall|verlust)\w*",
    re.IGNORECASE,
)
_IN_CASE = re.compile(r"\b(?:in case|für den Fall|au cas où)\b", re.IGNORECASE)
_ONE_A_NODE = re.compile(
    r"\b(?:one|an?|je eine?|jeweils eine?|une?)\s(?:(?:replica|instance|engine|copy|Replikat|Instanz|réplique)\s)?"
    r"(?:on|per|auf|pro|sur|par)\s(?:each|every|jede[mnr]|chaque)?\s?(?:\w+[\s-])?(?:node|server|machine|host|Knoten|Rechner|Maschine|serveur|nœud)\b",
    re.IGNORECASE,
)
"""``two instances, one on each node``."""


@dataclass(frozen=True, slots=True)
class Failure:
    """``lost`` replicas of a strategy, by the failure of a "card", a "replica" or a "node"."""

    degrees: Degrees
    lost: int
    part: str
    place: tuple[int, int] = (-1, -1)
    """Where the part that fails is named."""
    words_of_it: tuple[tuple[int, int], ...] = ()
    """Words that tell what fails, with their places; they do not tell what is lost by it."""

    @property
    def left(self) -> int:
        """Replicas that go on."""
        return self.degrees.dp - self.lost

    @property
    def each(self) -> int:
        """GPUs of a replica."""
        return self.degrees.tp * self.degrees.pp

    @property
    def words(self) -> str:
        """``it takes 1 of 2 replicas of TP8·PP1·DP2, 1 remains``."""
        count = f"{self.degrees.dp} replica{'s' if self.degrees.dp > 1 else ''}"
        return f"it takes {self.lost} of {count} of {self.degrees.label}, {self.left} remain{'s' if self.left == 1 else ''}"


def degrees_meant(sentence: Sentence, own: Situation) -> Degrees | None:
    """The strategy of a sentence: the report's own, or the one that it names; None where it names several."""
    named = {mention.degrees for *_, mention in sentence.strategies if set(mention.as_dict) - {"dp"}}
    if not named:
        return own.degrees
    said = dict(next(iter(named)))
    if len(named) > 1 or "tp" not in said or min(said.values()) < 1:
        return None
    tp, pp, ours = said["tp"], said.get("pp"), own.degrees
    if ours is not None and tp == ours.tp and pp in (None, ours.pp) and said.get("dp") in (None, ours.dp):
        return ours
    pp = pp or 1
    return Degrees(tp, pp, said.get("dp") or max(1, own.problem.hardware.gpus // (tp * pp)), 1)


def failure_of(sentence: Sentence, own: Situation, whole: str = "") -> Failure | None:
    """What fails in a sentence; None where it does not say, or where what is lost depends on the placement.

    Args:
        whole: other text of the report that may say how replicas are placed.
    """
    degrees, text = degrees_meant(sentence, own), sentence.text
    fails = list(FAILS.finditer(text))
    if degrees is None or min(degrees.tp, degrees.pp, degrees.dp) < 1:
        return None
    if _IN_CASE.search(text):
        return None
    if not fails or not own.own_hardware or sentence.models or sentence.has("past"):
        return None
    named = [
        (g.start, g.end, "card")
        for g in sentence.gpus
        if g.facts and re.search(r"\b(?:one|an?|single|eine?|une)\s$", text[: g.start], re.IGNORECASE)
    ]
    found = [(m.start(), m.end(), "card") for m in _CARD.finditer(text)]
    found += [(m.start(), m.end(), "replica") for m in _REPLICA.finditer(text)]
    nodes = [(m.start(), m.end(), "node") for m in _NODE.finditer(text)]
    if not (found or named or nodes):
        return None
    _, _, place, part, event = min(
        (max(one.start() - end, start - one.end(), 0), part == "replica", (start, end), part, one.span())
        for start, end, part in (*found, *named, *nodes)
        for one in fails
    )
    lost = 1 if part != "node" else _of_a_node(degrees, own, whole)
    return None if lost is None else Failure(degrees, lost, part, place, (event,))


def _of_a_node(degrees: Degrees, own: Situation, whole: str) -> int | None:
    """Replicas that a node takes with it; None where that depends on the placement."""
    hardware, each = own.problem.hardware, degrees.tp * degrees.pp
    if hardware.nodes == 1:
        return degrees.dp
    per_node = hardware.gpus_per_node
    if degrees.gpus != hardware.gpus:
        return 1 if degrees.dp == hardware.nodes and each <= per_node and _ONE_A_NODE.search(whole) else None
    if each <= per_node:
        return per_node // each if per_node % each == 0 else None
    return 1 if each % per_node == 0 else None
