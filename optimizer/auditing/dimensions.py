"""Figures with the dimensions that their unit, their noun and their "per" give them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from optimizer.auditing.implied_units import RUNNING
from optimizer.auditing.measures import Measure
from optimizer.auditing.scopes import scope_of
from optimizer.auditing.sentences import Sentence

Dims = tuple[tuple[str, int], ...]

CORE = ("byte", "watt", "s", "token", "request", "sequence", "step")

PARTS = ("gpu", "node", "replica", "stage", "layer", "head", "expert", "block")


@dataclass(frozen=True, slots=True)
class Typed:
    """A figure with the dimensions it may have; ``label`` for messages."""

    value: float
    kinds: tuple[dict[str, int], ...]
    text: str
    measure: Measure | None


def typed_figure(sentence: Sentence, measure: Measure) -> Typed:
    kinds = list(_kinds(sentence, measure))
    if kinds and _EACH.match(sentence.text[measure.end :]) and not any(name in PARTS for name in kinds[0]):
        counted = {
            name for other in sentence.measures if other != measure for kind in _kinds(sentence, other) for name in kind
        }
        kinds = [kinds[0] | {part: -1} for part in ("replica", "node", "gpu") if part in counted] or kinds
    return Typed(measure.value, tuple(kinds), measure.text, measure)


_OF_EACH_CARD = re.compile(
    r"(?:\b(?:GPUs?|cards?|accelerators?|Karten|cartes|[ABHL]\d{1,3}S?(?: SXM| PCIe| NVL)?|MI\d{3}X?|GB\d00|RTX \w+(?: \w+)?)s?,?\s"
    r"(?:of|with|at|zu|zu je|je|mit|mit je|à|de|avec)\s)$",
    re.IGNORECASE,
)

_EACH = re.compile(r"\s*(?:each|apiece|chacune?|jeweils)\b", re.IGNORECASE)

_NOUNS = (
    (
        r"(?:(?!(?:per|each|every|je|pro|par|on|of)\b)\w+[\s-]){0,2}?(?:replicas?|instances?|copies|copy"
        r"|Replikate?n?|Repliken|Instanzen|répliques?|instances)\b",
        "replica",
    ),
    (
        r"(?:(?!(?:per|each|every|je|pro|par|on|of)\b)\w+[\s-]){0,2}?(?:GPUs?|cards?|accelerators?|devices|Karten?"
        r"|cartes?|accélérateurs|H100s?|H200s?"
        r"|A100s?|L40S|MI300X|L4s?|B200s?)\b",
        "gpu",
    ),
    (
        (
            r"(?:(?!(?:per|each|every|je|pro|par|on|of)\b)\w+[\s-])?(?:nodes?|servers?|machines?|hosts?|DGX|HGX|boxes|Knoten|Servern?"
            r"|Maschinen|nœuds?|serveurs?)\b"
        ),
        "node",
    ),
    (r"(?:(?!(?:per|each|every|je|pro|par|on|of)\b)\w+[\s-])?(?:stages?|Stufen|étages?)\b", "stage"),
    (r"(?:(?!(?:per|each|every|je|pro|par|on|of)\b)\w+[\s-])?(?:layers?|Schichten|couches)\b", "layer"),
    (r"(?:(?!(?:per|each|every|je|pro|par|on|of)\b)\w+[\s-]){0,2}?(?:experts?|Experten)\b", "expert"),
    (r"(?:(?!(?:per|each|every|je|pro|par|on|of)\b)\w+[\s-]){0,2}?(?:heads?|Köpfen?|têtes)\b", "head"),
    (
        (
            r"(?:(?!(?:per|each|every|je|pro|par|on|of)\b)\w+[\s-]){0,2}?(?:[Tt]okens?|toks?|jetons?|Ausgabetoken|Eingabetoken"
            r"|Prompttoken)\b(?!\s?/)"
        ),
        "token",
    ),
    (
        r"(?:(?!(?:per|each|every|je|pro|par|on|of)\b)\w+[\s-]){0,2}?(?:sequences?|streams?|conversations?|users"
        r"|slots|sessions|Sequenzen|Gespräche|séquences|utilisateurs)\b",
        "sequence",
    ),
    (
        (
            r"(?:(?!(?:per|each|every|je|pro|par|on|of)\b)\w+[\s-]){0,2}?(?:requests?|prompts?|queries|Anfragen"
            r"|requêtes)\b(?!\s?(?:/|per s|pro S|par s))"
        ),
        "request",
    ),
)

_BATCH = re.compile(
    r"\b(?:b|bs|batch|batch size|batches|batch of|batch sizes? of|concurrency|Batch|Batchgröße|lot|taille de lot"
    r"|lots)(?:\s?(?:size|of|von|de|is|at|=|:))*\s*$",
    re.IGNORECASE,
)


def _kinds(sentence: Sentence, measure: Measure) -> Iterator[dict[str, int]]:
    text = sentence.text
    after, before = text[measure.end : measure.end + 60], text[max(0, measure.start - 60) : measure.start]
    scope = scope_of(sentence, measure, sentence.clause(measure.start))
    per = {id: -1 for id in scope.ids if id in PARTS and not scope.loose}
    if measure.dimension == "W":
        each = _EACH.match(text[measure.end :])
        yield {"watt": 1, "gpu": -1} if each and not per else {"watt": 1} | per
    elif measure.dimension == "bytes":
        of_card = _OF_EACH_CARD.search(text[: measure.start]) or _EACH.match(text[measure.end :])
        yield {"byte": 1, "gpu": -1} if of_card and not per else {"byte": 1} | per
        if "token" in scope.ids and not scope.loose:
            yield {"byte": 1, "token": -1}
    elif measure.dimension == "bytes/s":
        yield {"byte": 1, "s": -1}
    elif measure.dimension == "ms":
        if (
            (
                re.match(r"\s*(?:each|apiece|jeweils|chacun)\b", after)
                and re.search(r"\btokens?|\bjetons?", text, re.IGNORECASE)
            )
            or re.search(
                r"\b(?:[Ss]tep|[Tt]oken|[Ss]chritt|jeton)\b(?![^.;,\d]*\b(?:answer|reply|request|Antwort|Anfrage|réponse|requête))[^.;,\d]{0,24}\b(?:takes?|took|dauert|braucht|prend|dure"
                r"|lasts?)\s(?:about |etwa |environ )?$",
                before,
            )
            or re.search(r"\b(?:[Tt]okens?|jetons?)\s(?:at|of|with|à|bei|mit|zu)\s(?:about |etwa |environ )?$", before)
            or re.match(
                r"\s*(?:per|/|pro|je|par|for each|a)\s*(?:output |generated |decoded )?-?(?:tokens?|steps?|jetons?|Token"
                r"|Schritt|Dekodierschritt|decode step|pas|Ausgabetoken|iteration)",
                after,
            )
            or re.match(
                r"\s(?:between|zwischen|entre)\s(?:the |two |den |zwei |les |deux )?(?:\w+\s)?(?:[Tt]okens?|jetons)\b",
                after,
            )
            or re.search(
                r"\b(?:TPOT|ITL|per token|step time|token latency|time per (?:output )?token|inter-token latency)\b[^.;]{0,20}$",
                before,
            )
            or (
                re.search(r"per (?:output )?token|per step|pro Token|je Token|par jeton", text)
                and sum(m.dimension == "ms" for m in sentence.measures) == 1
            )
        ) or (
            any(m.dimension == "tokens/s" for m in sentence.measures)
            and re.search(
                r"(?:@|\bsteps?\s?[:=]?|\bTPOT\s?[:=]?|\b(?:at|bei|à|with|mit))\s*(?:about |roughly |etwa |environ )?$"
                r"|\b(?:tokens? (?:takes?|in|lasts?|every)|Token (?:dauert|in|braucht)|jeton (?:prend|en|dure)"
                r"|steps? (?:(?:that |which )?takes?|of|lasts?)|Schritt (?:dauert|von)|pas de)\s+(?:about |roughly |etwa |environ )?$",
                before,
            )
        ):
            yield {"s": 1, "token": -1, "sequence": 1}
        else:
            yield {"s": 1}
    elif measure.dimension == "tokens/s":
        yield {"token": 1, "s": -1} | per
    elif measure.dimension == "requests/s":
        yield {"request": 1, "s": -1} | per
    elif measure.dimension == "" and not measure.unit:
        noun = next((name for pattern, name in _NOUNS if re.match(r"[\s-]{1,2}" + pattern, after)), None)
        if noun == "request" and RUNNING.match(after):
            noun = "sequence"
        if noun is None and re.search(
            r"\b(?:sequences?|conversations?|requests?|Sequenzen|Gespräche|séquences)\s(?:of|zu|von|de|à)\s$", before
        ):
            yield {"token": 1, "sequence": -1}
            return
        if noun is None and _BATCH.search(before):
            noun = "sequence"
        if noun is None:
            if (
                (
                    re.match(
                        r"\s*(?:per|each|/|pro|je|par|(?:from|on|in|at|for|auf|sur|für) (?:each|every|jede\w*|chaque)\b)",
                        after,
                    )
                    or (per and not re.match(r"\s*[A-Za-z%]", after))
                )
                and measure == sentence.measures[-1]
                and len(sentence.measures) > 1
            ):
                for other in sentence.measures[:-1]:
                    if other.dimension == "requests/s":
                        yield {"request": 1, "s": -1} | per
                        return
                    if other.dimension == "tokens/s":
                        yield {"token": 1, "s": -1} | per
                        return
            if re.search(
                r"\b(?:replicas?|instances|groups|Replikate|répliques|nodes|servers|Knoten|Servern?|serveurs|nœuds)\s+(?:of"
                r"|with|von|zu je|à|de|mit je|mit)\s+$",
                before,
                re.IGNORECASE,
            ):
                yield {"gpu": 1, "replica": -1}
                yield {"gpu": 1, "node": -1}
            return
        if noun == "token":
            yield {"token": 1}
            yield {"token": 1, "request": -1}
        elif noun == "sequence":
            yield {"sequence": 1}
            yield {"sequence": 1, "replica": -1}
        elif noun == "gpu":
            yield {"gpu": 1}
            yield {"gpu": 1, "replica": -1}
            yield {"gpu": 1, "node": -1}
            yield {"gpu": 1, "stage": -1}
        elif noun == "request":
            yield {"request": 1}
            yield {"sequence": 1}
        elif noun == "replica":
            yield {"replica": 1}
            yield {"replica": 1, "node": -1}
        else:
            yield {noun: 1}
            for id in per:
                yield {noun: 1, id: -1}
