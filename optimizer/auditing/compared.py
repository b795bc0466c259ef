"""What the two sides of a comparison are: figures, quantities of the lexicon, facts of a card, or what was said before."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from optimizer.auditing.context import Context
from optimizer.auditing.facts import Situation
from optimizer.auditing.formula import UnknownName, value_of
from optimizer.auditing.lexicon import Quantity, quantities
from optimizer.auditing.measures import Measure, shown
from optimizer.auditing.sentences import Sentence
from optimizer.auditing.situations import on_gpu


@dataclass(frozen=True, slots=True)
class ComparedSide:
    """What stands on one side: its values, and the kind of thing that can be compared with the same kind only."""

    kind: str
    values: tuple[float, ...]
    words: str
    named: str = ""
    """The quantity; "" for a figure."""


_KINDS = {
    "prompt_tokens": "tokens", "output_tokens": "tokens", "context": "tokens", "attention_heads": "heads", "query_heads_short": "heads",
    "kv_heads": "heads", "kv_heads_short": "heads", "hidden_size": "width", "ffn_width": "width", "parameters": "parameters",
    "active_parameters": "parameters", "experts": "experts", "experts_per_token": "experts", "gpu_memory": "bytes",
    "memory_bandwidth": "bytes/s", "nvlink": "bytes/s", "pcie": "bytes/s", "network": "bytes/s", "power": "W", "price": "money/h",
    "host_memory": "bytes", "weights": "bytes",
}  # fmt: skip
"""Quantities that people compare, and with what they can be."""
_SERVED = re.compile(
    r"\b(?:we (?:allow|permit|serve|admit|accept)|(?:that|this|the|our) (?:limit|cap)\b(?! of)|allowed|permitted|admitted|erlaubt\w*"
    r"|zulässig\w*|zugelassen\w*|unser\w* Grenze|wir (?:erlauben|zulassen|brauchen)|nous (?:autorisons|admettons)|autorisée?s?"
    r"|(?:cette|notre) limite|admise?s?)\b",
    re.IGNORECASE,
)
"""The longest request that is served, and not the model's own context."""
_OF_MODEL = re.compile(
    r"\b(?:the model(?:'s)?(?: itself)?|its (?:own |maximum )?context|model supports|native|Modells?|modèle)\b",
    re.IGNORECASE,
)
_SPOKEN = (
    ("prompt_tokens", re.compile(r"\b(?:prompts?|inputs?|reads?|Eingaben?|liest|lesen|entrées?|invites?|lit|lisons)\b", re.IGNORECASE)),
    ("output_tokens", re.compile(
        r"\b(?:answers?|repl(?:y|ies)|outputs?|writes?|Antworten?|Ausgaben?|schreibt|réponses?|sorties?|écrit)\b", re.IGNORECASE)),
    ("nvlink", re.compile(r"\bNVLink\b")),
    ("memory_bandwidth", re.compile(
        r"\b(?:memory (?:bandwidth|speed)|bandwidth|reads? (?:its |the )?memory|Speicherbandbreite|Bandbreite|liest|bande passante|lit sa"
        r" mémoire|débit mémoire)\b", re.IGNORECASE)),
)  # fmt: skip
_FACT_OF = {"bytes": "memory", "bytes/s": "bandwidth", "W": "tdp", "FLOP/s": "peak"}
_FACTS = {"nvlink": "nvlink", "memory_bandwidth": "bandwidth", "gpu_memory": "memory", "power": "tdp", "pcie": "pcie"}
_CAN = re.compile(
    r"\b(?:supports?|can|could|takes?|allows?|handles?|kann|könnte|schafft|unterstützt|accepte\w*|permet\w*|peut|pourrait)\b",
    re.IGNORECASE,
)
_REQUEST = re.compile(
    r"\b(?:all (?:the )?tokens|tokens of (?:a|the|each) request|(?:a|the) (?:whole |entire |average |mean |typical )?request"
    r"|a request of (?:the )?"
    r"average (?:size|length)|aller Token|Token einer Anfrage|(?:mittlere|durchschnittliche|ganze) Anfrage|tous les jetons"
    r"|requête moyenne)\b",
    re.IGNORECASE,
)
"""What is read and written together."""
_A_CARD = re.compile(
    r"\b(?:size of|into|than|of) (?:a|one|the|our) (?:single )?(?:card|GPU)\b|\beine[rm]? Karte\b|\bd'une carte\b",
    re.IGNORECASE,
)
_BACK = re.compile(
    r"^\W*(?:that|this|it|which|they|das|dies|es|sie|cela|ce|c'est|il|elle|ils|elles)\b|\bof (?:that|this)\b|\bdavon\b|\bde cela\b",
    re.IGNORECASE,
)
_LIMIT_OF = re.compile(
    r"\b(?:cap|limit|maximum|window|context|Grenze|Fenster|Kontext|limite|fenêtre|contexte)\s(?:of|von|de)\s$",
    re.IGNORECASE,
)
_TOKENS = re.compile(r"[\s-](?:\w+\s)?(?:tokens?|Token|jetons?)\b|\W*$", re.IGNORECASE)


def pairs_of(
    sentence: Sentence, first: tuple[int, int], second: tuple[int, int], context: Context, own: Situation
) -> Iterator[tuple[ComparedSide, ComparedSide]]:  # fmt: skip
    """Every two meanings of both sides that are of one kind; a card is whatever the other side, or the sentence, is of."""
    ones, others = (
        list(_sides(sentence, first, context, own, True)),
        list(_sides(sentence, second, context, own, False)),
    )
    cards = [[g for g in sentence.gpus if a <= g.start < b] for a, b in (first, second)]
    two_cards = bool(cards[0] and cards[1])
    if two_cards:  # a quantity is that of each of them, and not the report's own
        ones, others = [one for one in ones if not one.named], [one for one in others if not one.named]
    for one in ones:
        for other in others:
            if one.kind == other.kind and not (one.named and one.named == other.named and one.values == other.values):
                yield one, other
    if not two_cards and any(one.kind == other.kind for one in ones for other in others):
        return
    named = next((id for id, words in _SPOKEN if id in _FACTS and words.search(sentence.text)), "")
    if not cards[1] and len(cards[0]) == 1 and _COMPARED.search(sentence.text[: cards[0][0].start]):
        cards, second = [[], cards[0]], first  # "compared to the A100 that is twice the bandwidth"
    if len(cards[1]) == 1:
        kind = (
            ones[0].kind
            if ones
            else quantities()[named].unit
            if named
            else "bytes"
            if _MEMORY.search(sentence.text)
            else ""
        )
        fact = _FACTS[named] if named and quantities()[named].unit == kind else _FACT_OF.get(kind, "")
        than = list(_of_cards(sentence, cards[1][0].start, second, own, fact, kind))
        mine = ones or [
            *(
                _of_cards(sentence, cards[0][0].start, first, own, fact, kind)
                if len(cards[0]) == 1
                else _own(own, fact, kind)
            )
        ]
        yield from ((one, other) for one in mine if one.kind == kind for other in than)


_COMPARED = re.compile(
    r"\b(?:compared (?:to|with)|against|relative to|gegenüber|verglichen mit|par rapport à|comparée? à|face à)\s(?:\w+\s)?$",
    re.IGNORECASE,
)
_MEMORY = re.compile(r"\b(?:memory|VRAM|HBM|Speichers?|mémoire)\b")


def _own(own: Situation, fact: str, kind: str) -> Iterator[ComparedSide]:
    if own.own_hardware and own.values.get(fact):
        yield ComparedSide(kind, (own.values[fact],), f"{own.gpu.name} ({shown(own.values[fact], kind)})")


def _of_cards(
    sentence: Sentence, place: int, span: tuple[int, int], own: Situation, fact: str, kind: str
) -> Iterator[ComparedSide]:  # fmt: skip
    """A fact of the cards that a name may mean; a size behind the name tells which."""
    named = next(g for g in sentence.gpus if g.start == place)
    kinds = list(on_gpu(own, named))
    sizes = [
        m for m in sentence.measures if m.dimension == "bytes" and named.end <= m.start <= min(span[1], named.end + 12)
    ]
    kinds = [one for one in kinds if not sizes or sizes[0].says(one.values["nominal_memory"])] or kinds
    values = tuple(dict.fromkeys(one.values[fact] for one in kinds if one.values.get(fact)))
    if values:
        yield ComparedSide(kind, values, f"{named.text} ({shown(values[0], kind)})")


def _sides(
    sentence: Sentence, span: tuple[int, int], context: Context, own: Situation, first: bool
) -> Iterator[ComparedSide]:  # fmt: skip
    text = sentence.text[slice(*span)]
    figures = [m for m in sentence.measures if span[0] <= m.start and m.end <= span[1] and not m.word]
    figures = [m for m in figures if m.dimension != "%" and _kind_of(sentence, m)]
    figures = [
        m for m in figures if not any(0 <= m.start - g.end <= 8 and m.dimension == "bytes" for g in sentence.gpus)
    ]
    if figures:
        figure = figures[-1] if first else figures[0]
        yield ComparedSide(_kind_of(sentence, figure), figure.values, figure.text.strip())
        return
    said = set()
    if _REQUEST.search(text) and own.own_model:
        total = own.values["prompt"] + own.values["output"]
        yield ComparedSide("tokens", (total,), f"a request ({total:,.0f} tokens)", "request")
        return
    for term in sentence.terms_in(*span, "quantity"):
        said |= {id for id in term.ids("quantity") if id in _KINDS}
    said |= {id for id, words in _SPOKEN if id in _KINDS and words.search(text)}
    if said & {"prompt_tokens", "output_tokens"}:
        said -= {"context"}
    elif _SERVED.search(text) and own.own_model and not _OF_MODEL.search(text):
        length = own.values["max_length"]
        yield ComparedSide("tokens", (length,), f"the longest request ({length:,.0f})", "max_length")
        return
    if not said and _A_CARD.search(text):
        said = {"gpu_memory"}
    for id in sorted(said):
        values = tuple(_values(quantities()[id], text, own))
        if values:
            yield ComparedSide(
                _KINDS[id], values, f"{quantities()[id].title} ({shown(values[0], quantities()[id].unit)})", id
            )
    for term in sentence.terms_in(*span, "precisions"):
        rate = own.values.get(f"peak_{term.id('precisions')}")
        if rate and own.own_hardware and not re.search(r"\b(?:weights?|cache|Gewichte|poids)\b", sentence.text):
            yield ComparedSide("FLOP/s", (rate,), f"{term.text} ({shown(rate, 'FLOP/s')})", f"peak in {term.text}")
    if _OF_MODEL.search(text) and not said and _CAN.search(text):
        yield ComparedSide(
            "tokens", (own.values["context"],), f"the model's context ({own.values['context']:,.0f})", "context"
        )
    if not said and (_BACK.search(text) or re.search(r"that$", sentence.text[: span[0]].rstrip())):
        for earlier in context.recent[-1:]:
            if 0 <= sentence.statement.line - earlier.statement.line <= 1:
                for m in earlier.measures[-1:]:
                    if m.dimension in _FACT_OF:
                        yield ComparedSide(m.dimension, m.values, m.text.strip())


_PARTS = (
    ("replica", re.compile(r"\b(?:replica|instance|copy|Replikat|Instanz|réplique)\b", re.IGNORECASE)),
    ("node", re.compile(r"\b(?:node|server|box|machine|host|Knoten|Server|Rechner|nœud|serveur)\b", re.IGNORECASE)),
    ("gpu", re.compile(r"\b(?:GPU|card|rank|accelerator|Karte|carte)\b", re.IGNORECASE)),
)


def _values(quantity: Quantity, text: str, own: Situation) -> Iterator[float]:
    """What a quantity is of the part that a text names; without one, of a GPU what a GPU has and of the whole anything else."""
    for one in _formulas(quantity, text):
        try:
            if value := value_of(one, own.values):
                yield value
        except (UnknownName, ZeroDivisionError):
            continue


def _formulas(quantity: Quantity, text: str) -> tuple[str, ...]:
    if quantity.id == "context":
        return ("context",) if _OF_MODEL.search(text) else ("context", "max_length")
    part = next((name for name, words in _PARTS if words.search(text) and name in quantity.values), "")
    if part or (quantity.id != "weights" and _KINDS[quantity.id] in _FACT_OF):
        return quantity.values.get(part or "gpu", ()) or quantity.values.get("", ())
    return ("weights", "weights_gpu") if quantity.id == "weights" else quantity.values.get("", ())


def _kind_of(sentence: Sentence, measure: Measure) -> str:
    """Of a figure: its dimension, or what it counts."""
    if measure.dimension:
        return measure.dimension
    long = measure.value >= 256 and not measure.unit
    named = _TOKENS.match(sentence.text[measure.end :]) or _LIMIT_OF.search(sentence.text[: measure.start])
    return "tokens" if long and named else ""
