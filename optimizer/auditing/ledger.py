"""What a quantity is, in every reading that a sentence leaves open: the figures that claims are held against.

Figures come from ``data/quantities.yaml`` over the facts of a situation, and from the ledger of the product's own report.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from optimizer.auditing.context import Context
from optimizer.auditing.facts import Situation
from optimizer.auditing.formula import UnknownName, value_of
from optimizer.auditing.lexicon import Quantity
from optimizer.auditing.measures import Measure
from optimizer.auditing.said_of import PEAKS, formats_said
from optimizer.auditing.scopes import Scope
from optimizer.auditing.sentences import Sentence


@dataclass(frozen=True, slots=True)
class Reading:
    """One value a quantity may have: ``value`` to ``high`` where it differs between GPUs."""

    value: float
    high: float | None
    scope: tuple[str, ...]
    subject: str
    condition: str = ""
    vague: bool = False
    """A range of what may be meant: a figure inside it is neither confirmed nor wrong."""


_GPU = re.compile(r"\b(?:GPU|card|accelerator|rank|Karte|carte|device)", re.IGNORECASE)
_OF_THE_MODEL = re.compile(
    r"\b(?:the model(?:'s)?|Modells?|modèle|native(?:ly)?|nativ\w*|trained|trainiert|out of the box|von Haus aus"
    r"|max_position_embeddings)\b",
    re.IGNORECASE,
)
_OURS = re.compile(
    r"\b(?:we|our|wir|unser\w*|nous|notre|allow\w*|erlaub\w*|begrenz\w*|limit\w*|cap(?:ped)?|serve\w*|configured|set|max[-_ ]model[-_ ]len"
    r"|requests?|Anfragen?|requêtes?)\b",
    re.IGNORECASE,
)
"""The context that is served may be less than the model's own."""
_SUCH = re.compile(
    r"\b(?:such|these|those|solche[rn]?|telles|ces)\s(?:\w+\s)?(?:sequences?|requests?|conversations?|Sequenzen|Anfragen"
    r"|Gespräche|séquences|requêtes)",
    re.IGNORECASE,
)


def readings(
    quantity: Quantity, situation: Situation, scope: Scope, sentence: Sentence, measure: Measure, context: Context
) -> Iterator[Reading]:
    """Every value of a quantity in a situation that the scope allows, the likeliest first."""
    if quantity.unless and quantity.unless in situation.holds:
        return
    subject = _subject(quantity, situation)
    names = dict(situation.values)
    if quantity.per_tokens:
        counted = list(token_counts(sentence, measure))
        if counted:
            context.last_tokens = counted
        elif _SUCH.search(sentence.text):
            counted = context.last_tokens
        if counted:
            spoken = f"{sentence.statement.section} {sentence.text}"
            spoken += " GPU" if context.speaks_of_gpu(sentence.statement) else ""
            yield from _of_tokens(quantity, names, scope, counted, sequence_counts(sentence, measure), subject, spoken)
            return
    if quantity.per_gpus and quantity.per_gpus in names:
        counts = list(gpu_counts(sentence, measure))
        for count in counts:
            each = names[quantity.per_gpus]
            yield Reading(each * count, None, (), subject, f" of {count:,.0f} GPUs")
        if counts and quantity.id == "total_memory":
            return
    if quantity.id == "peak_compute":
        named = formats_said(sentence, measure)
        for name in named:
            if PEAKS[name] in names:
                for times, part in (
                    (1.0, ()),
                    *([(names["gpus_per_node"], ("node",))] if "gpus_per_node" in names else []),
                    *([(names["gpus"], ("total",))] if "gpus" in names and scope.total else []),
                ):
                    yield Reading(names[PEAKS[name]] * times, None, part, subject, f" in {name.upper()}")
        if named:
            return
        for name in dict.fromkeys(PEAKS.values()):
            if name in names:
                yield Reading(names[name], None, (), subject, f" in {name.removeprefix('peak_').upper()}")
    if quantity.by_title:
        yield Reading(value_of(quantity.values[""][0], {}), None, (), subject)
        return
    objects = {id for term in sentence.terms for id in term.ids("objects")}
    if sentence.gpus or sentence.strategies or context.speaks_of_gpu(sentence.statement):
        objects.add("gpu")
    wanted = [key for key in quantity.values if _allows(quantity, key, scope, objects)]
    if quantity.only_with and not scope.ids:
        wanted = [key for key in wanted if set(key.split()) & set(quantity.only_with)] if measure.dimension else wanted
    clause = sentence.text[slice(*sentence.clause(measure.start))]
    if quantity.id in _SUMMED and not scope.ids and _TOTAL_SAID.search(clause):
        wanted = ["total"]
    wanted.sort(key=lambda key: set(key.split()) != scope.ids)
    models_own = quantity.id == "context" and _OF_THE_MODEL.search(clause) and not _OURS.search(clause)
    for key in wanted:
        for text in quantity.values[key]:
            if models_own and text != "context":
                continue
            part = tuple(key.replace("total", "").split())
            if text.startswith("ledger("):
                for value in context.ledger_values(text[8:-2]):
                    yield Reading(value, None, part, subject)
                continue
            try:
                if text.startswith("between "):
                    low_text, high_text = text.removeprefix("between ").split(" and ")
                    least, most = value_of(low_text, names), value_of(high_text, names)
                    yield Reading(least, max(least, most), part, subject, vague=True)
                    continue
                value = value_of(text, names)
            except (UnknownName, ZeroDivisionError):
                continue
            if quantity.times_tokens:
                layers = dict.fromkeys((1.0, names.get("layers", 1.0)))
                for count in token_counts(sentence, measure):
                    for times in layers:
                        said = f" of {count:,.0f} tokens" + (" over all layers" if times > 1 else "")
                        yield Reading(value * count * times, None, (), subject, said)
            high = None
            if text == "weights_gpu" and situation.own and context.weights_span:
                low, most = context.weights_span
                value, high = min(value, low), max(value, most)
                high = high if high > 1.01 * value else None
            yield Reading(value, high, part, subject)


def _allows(quantity: Quantity, key: str, scope: Scope, named: set[str]) -> bool:
    ids = set(key.replace("total", "").split())
    if scope.ids:
        known = {id for other in quantity.values for id in other.split()}
        if not known - {"total"}:
            return True
        stated = scope.ids & known
        if not stated:
            return scope.loose
        return ids == stated or (scope.loose and (ids <= stated or not ids)) or (scope.total and not ids)
    if ids & _PARTS - named and quantity.unit:
        return False
    if "gpu" in ids and "gpu" not in named and "" in quantity.values:
        return False
    if (
        scope.total
        and "total" in quantity.values
        and quantity.unit == "bytes"
        and not named & {"node", "replica", "stage"}
    ):
        return key == "total" or (key == "" and "total" not in quantity.values)
    if scope.total and not scope.ids and quantity.unit in ("tokens/s", "requests/s") and ids - {"total"}:
        return False
    if quantity.id in _OF_ONE and not scope.total and key and not ids <= {"gpu", "direction"}:
        return False
    if scope.total and any(key in ("", "total") for key in quantity.values):
        return True
    return True


_SUMMED = frozenset({"gpus", "nodes", "price", "power"})
_TOTAL_SAID = re.compile(
    r"\b(?:in total|total|altogether|in all|all told|all (?:the |\d+ )?(?:GPUs|cards"
    r"|accelerators) together|insgesamt|alle (?:\d+ )?(?:GPUs|Karten) zusammen"
    r"|gesamt|au total|en tout|toutes les cartes ensemble|the (?:whole )?(?:cluster|fleet|pool"
    r"|installation) (?:has|have|consists|costs?|comprises))\b",
    re.IGNORECASE,
)
"""Of all there are, and not of one node or replica."""
_PARTS = frozenset({"node", "stage", "layer", "replica"})
"""Nobody means these without a word for them."""
_OF_ONE = frozenset({"memory_bandwidth", "peak_compute"})
"""Said of one GPU unless something else is named."""


def _subject(quantity: Quantity, situation: Situation) -> str:
    expressions = " ".join(text for listed in quantity.values.values() for text in listed)
    parts = []
    if re.search(
        r"\b(?:layers|hidden|heads|kv_heads|head_dim|ffn|vocab|context|parameters|active|experts|weights|kv_token"
        r"|layer_\w+|weights_gpu|kv_token_gpu)\b",
        expressions,
    ):
        parts.append(situation.model.name)
    if re.search(r"\b(?:memory|bandwidth|nvlink|pcie|peak)\b", expressions):
        parts.append(situation.gpu.name)
    if situation.degrees is not None and re.search(r"\b(?:tp|pp|dp|gpus_used|weights_gpu|kv_token_gpu)\b", expressions):
        parts.append(situation.degrees.label)
    return " with ".join(parts) or situation.problem.name


_PLUS = re.compile(r"\s?(?:\+|plus)\s?")


def token_counts(sentence: Sentence, measure: Measure) -> Iterator[float]:
    """Numbers of tokens that a sentence states beside a figure: ``a 4,096-token conversation``."""
    for place, other in enumerate(sentence.measures):
        if other == measure or other.dimension or other.value < 16:
            continue
        after = sentence.text[other.end : other.end + 40]
        added = sentence.measures[place - 1] if place else None
        if added is not None and not added.dimension and _PLUS.fullmatch(sentence.text[added.end : other.start]):
            if re.match(r"[\s-]*(?:[Tt]okens?|toks?|jetons?)\b", after):
                yield added.value + other.value  # "2,000 + 400 tokens": what they are together
            continue
        before = sentence.text[max(0, other.start - 30) : other.start]
        if re.match(
            r"[\s-]*(?:\w+[\s-])?(?:[Tt]okens?|toks?|jetons?|positions?)\b(?!\s?(?:/|per\b|pro\b|par\b))", after
        ) or (
            re.search(
                r"(?:context|length|sequence|Kontext|Länge|contexte|longueur|full)\w*\s(?:of\s|von\s|de\s)?$",
                before,
                re.IGNORECASE,
            )
        ):
            yield from other.values[:2]


_FOR = re.compile(r"\b(?:for|across|over|für|aller?|über|pour|sur)\s(?:all |the |alle |die |les )?$", re.IGNORECASE)
"""``180 GB a GPU, 2,880 GB for sixteen``: a number whose noun stands before."""


def gpu_counts(sentence: Sentence, measure: Measure) -> Iterator[float]:
    """Numbers of GPUs beside a figure: ``four A100s offer 320 GB``."""
    for other in sentence.measures:
        if other == measure or other.dimension or other.value > 4096:
            continue
        after = sentence.text[other.end : other.end + 40]
        of_all = _FOR.search(sentence.text[: other.start]) and re.match(r"\s*(?:$|[,;.)|])", after)
        if (
            (of_all and _GPU.search(sentence.text))
            or re.match(
                r"\s?[×xX]?\s?(?:[\w-]+\s){0,2}?(?:GPUs?|cards?|accelerators?|Karten?|cartes?|accélérateurs?)\b", after
            )
            or any(
                0 <= g.start - other.end <= 14 and not re.search(r"[,;.]", sentence.text[other.end : g.start])
                for g in sentence.gpus
            )
        ):
            times = re.search(r"(\d{1,3})\s?[×xX]\s?$", sentence.text[: other.start])
            yield other.value * (int(times[1]) if times else 1)


def sequence_counts(sentence: Sentence, measure: Measure) -> list[float]:
    found = []
    for other in sentence.measures:
        if other == measure or other.dimension:
            continue
        after = sentence.text[other.end : other.end + 60]
        if re.match(
            r"[\s-]*(?:full |concurrent |such |running |parallel |active |gleichzeitige |parallele |solcher? |volle "
            r"|simultanées? )*(?:sequences?|requests?|users?|conversations?|sessions?|slots|Sequenzen|Anfragen"
            r"|Gespräche|séquences|requêtes|conversations|[×x]\s?\d[\d.,]*(?!\s?[×x\d.,]))",
            after,
        ) and not re.search(r"[×x]\s?$", sentence.text[: other.start]):
            found.append(other.value)
    return found


def _of_tokens(
    quantity: Quantity, names: dict[str, float], scope: Scope, tokens: list[float], sequences: list[float], subject: str,
    spoken: str,
) -> Iterator[Reading]:  # fmt: skip
    for key, text in quantity.per_tokens:
        ids = set(key.split())
        stated = scope.ids & {"gpu"}
        if stated and ids != stated and not scope.loose:
            continue
        if ids and not stated and not (scope.ids and scope.loose) and not _GPU.search(spoken):
            continue
        try:
            each = value_of(text, names)
        except UnknownName:
            continue
        for count in tokens:
            for times in (*sequences, 1.0):
                words = f" of {count:,.0f} tokens" + (f" × {times:,.0f}" if times != 1 else "")
                yield Reading(each * count * times, None, tuple(key.split()), subject, words)
    if scope.ids & {"token"} or scope.loose:
        for key, text in quantity.per_tokens:
            if text in names:
                yield Reading(names[text], None, (*key.split(), "token"), subject)
