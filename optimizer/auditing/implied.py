"""Judges arithmetic that a sentence implies without writing it: ``batch 32 at 25 ms per token emits 1,600 tokens/s``.

Every figure gets the dimensions that its unit, its noun and its "per" give it. Where products and quotients of the other
figures of the sentence have the dimensions of the result, one of them has to be the result; if none is, it is refuted.
Sequences in progress each gain a token per step, so ``ms per token`` is time × sequences ÷ tokens (Little's law).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import combinations, product

from optimizer.auditing.context import Context
from optimizer.auditing.facts import Situation
from optimizer.auditing.implied_units import RUNNING
from optimizer.auditing.labels import shortened
from optimizer.auditing.lexicon import Term
from optimizer.auditing.measures import Measure, shown
from optimizer.auditing.scopes import scope_of
from optimizer.auditing.sentences import Sentence
from optimizer.results.audit import Claim, Parsed

Dims = tuple[tuple[str, int], ...]
CORE = ("byte", "watt", "s", "token", "request", "sequence", "step")
PARTS = ("gpu", "node", "replica", "stage", "layer", "head", "expert", "block")
_RESULT = re.compile(
    r"(?:=|≈|→|\b(?:is|are|makes?|gives?|yields?|equals?|takes?|took|needs?|requires?|emits?|produces?"
    r"|delivers?|generates?|means?|hence|therefore|thus|so|i\.e\.|that is|which is|comes? to|amounts? to"
    r"|adds? up to|sums? to|totals?|results? in|reach(?:es)?|sustains?|lasts?|costs?|at most|would take"
    r"|sind|ist|ergibt|ergeben|macht|machen|liefert|liefern|erzeugt|also|dauert|dauern|braucht|benötigt|d\. ?h\.|somit|daher|schafft"
    r"|donnent?|fait|font|est|sont|soit|donc|produit|produisent|prend|prennent|représentent?|délivre|fournit"
    r"|émet|génère|demande|dure))\b[^\d]*$",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Typed:
    """A figure with the dimensions it may have; ``label`` for messages."""

    value: float
    kinds: tuple[dict[str, int], ...]
    text: str
    measure: Measure | None


def judge_implied(sentence: Sentence, context: Context, own: Situation) -> Iterator[Claim]:
    """One claim for every result of a sentence that its other figures determine."""
    typed = [_typed(sentence, measure) for measure in sentence.measures]
    typed += [
        Typed(float(mention.as_dict.get("tp", 1) * mention.as_dict.get("pp", 1)), ({"gpu": 1, "replica": -1},), mention.text, None)
        for _, _, mention in sentence.strategies
        if "tp" in mention.as_dict and mention.as_dict["tp"] * mention.as_dict.get("pp", 1) > 1 and "dp" not in mention.as_dict
    ]  # fmt: skip
    if re.search(r"speculat|draft|MTP|EAGLE|prefix cach", sentence.text, re.IGNORECASE):
        return
    for place, result in enumerate(typed):
        if result.measure is None or not result.kinds or not _is_result(sentence, result.measure, place):
            continue
        if re.search(r"[×✕*÷/+−]\s*\(?$", sentence.text[: result.measure.start]):
            continue
        if (
            result.measure.dimension in ("tokens/s", "requests/s")
            and _BACK.search(sentence.text)
            and context.last_rate
            and not any(m.dimension == result.measure.dimension for m in sentence.measures if m is not result.measure)
        ):
            line, value, text = context.last_rate
            kind = {"token": 1, "s": -1} if result.measure.dimension == "tokens/s" else {"request": 1, "s": -1}
            if 0 <= sentence.statement.line - line <= 2 and text.dimension == result.measure.dimension:
                typed.append(Typed(value, (kind,), text.text, text))
        if (
            own.degrees is not None
            and not sentence.strategies
            and (not sentence.has("hypothetical") or _LOST.search(sentence.text))
        ):
            typed += _own_counts(result, typed, own, sentence.text)
        operands = [
            one
            for i, one in enumerate(typed)
            if i != place
            and one.kinds
            and (
                one.measure is None or i < place or i >= len(sentence.measures) or _is_condition(sentence, one.measure)
            )
        ]
        said = _judged(sentence, result, _of_result(result, operands), own) or _of_tokens(
            sentence, result, operands, own
        )
        if said is not None:
            yield said
    rates = [m for m in sentence.measures if m.dimension in ("tokens/s", "requests/s")]
    rates = [m for m in rates if not scope_of(sentence, m, sentence.clause(m.start)).ids]
    if rates:
        context.last_rate = (sentence.statement.line, rates[-1].value, rates[-1])


def _of_tokens(sentence: Sentence, result: Typed, operands: list[Typed], own: Situation) -> Claim | None:
    """``3 requests/s of 400 tokens each are 1,200 requests/s``: a rate of tokens that is called one of requests."""
    measure = result.measure
    assert measure is not None
    if measure.dimension != "requests/s" or sentence.has("hypothetical") or measure.hedged:
        return None
    rates = [
        one
        for one in operands
        if any(kind == {"request": 1, "s": -1} for kind in one.kinds) and one.measure is not None
    ]
    lengths = [one for one in operands if any(kind == {"token": 1, "request": -1} for kind in one.kinds)]
    if (
        len(rates) != 1
        or len(lengths) != 1
        or lengths[0].value < 2
        or not _may_refute(sentence, measure, result, operands)
    ):
        return None
    value = rates[0].value * lengths[0].value
    if not measure.says(value) or own.problem.workload.requests_per_s == value:
        return None
    return replace(
        _say(sentence, measure, "refuted", value, f"{rates[0].text} × {lengths[0].text} tokens"),
        reason=f"{rates[0].text} × {lengths[0].text} tokens is {value:,.4g} tokens/s, not {measure.text}.",
        expected=f"{value:,.4g} tokens/s",
    )  # fmt: skip


def _of_result(result: Typed, operands: list[Typed]) -> list[Typed]:
    """A "per" that a bare result shares with what it is computed from is its own: ``at 5 requests/s each replica gets 1.25``."""
    if result.measure is None or result.measure.unit or not result.kinds:
        return operands
    own = {part for part in PARTS if result.kinds[0].get(part, 0) < 0}
    if not own:
        return operands
    return [
        replace(one, kinds=tuple({n: e for n, e in kind.items() if n not in own} for kind in one.kinds))
        if one.measure is not None and one.measure.dimension and one.kinds and own <= set(one.kinds[0])
        else one
        for one in operands
    ]  # fmt: skip


_FOR_ALL = re.compile(
    r"\b(?:all|of them|together|in total|total|altogether|for the (?:two|four|eight|sixteen|lot|node|box)|alle|insgesamt|zusammen"
    r"|gesamt|au total"
    r"|en tout|pour (?:toutes|les (?:deux|quatre|huit|seize)))\b",
    re.IGNORECASE,
)


def _of_all(result: Typed, typed: list[Typed], own: Situation, text: str) -> bool:
    """Whether a size or a power is said of one GPU or node of the problem and then of more: ``700 W each, 11.2 kW for all``."""
    if result.measure is None or not own.own_hardware or result.measure.dimension not in ("bytes", "W"):
        return False
    whole = _FOR_ALL.search(text[max(0, result.measure.start - 24) : result.measure.end + 24])
    if not (whole or any(kind.get("node") == -1 for kind in result.kinds)) or "%" in text:
        return False
    known = own.values
    nominal = {"bytes": known.get("nominal_memory"), "W": known.get("tdp")}[result.measure.dimension]
    each = [one for one in typed if one is not result and any(kind.get("gpu") == -1 for kind in one.kinds)]
    counted = any(
        (kind.get("gpu", 0) > 0 or kind.get("node", 0) > 0) and one.value != own.problem.hardware.gpus
        for one in typed
        for kind in one.kinds
    )
    return bool(
        nominal
        and not counted
        and len(each) == 1
        and each[0].measure is not None
        and each[0].measure.dimension == result.measure.dimension
        and each[0].measure.says(nominal, 0.01)
    )


def _machines(result: Typed, typed: list[Typed], own: Situation) -> Iterator[Typed]:
    """How many GPUs the problem has, on a node or in all, for a result that is said of those."""
    hardware = own.problem.hardware
    if any(kind.get("node") == -1 for kind in result.kinds):
        yield Typed(float(hardware.gpus_per_node), ({"gpu": 1, "node": -1},), f"{hardware.gpus_per_node} GPUs", None)
    elif not any(kind.get("gpu", 0) < 0 for kind in result.kinds):
        yield Typed(float(hardware.gpus), ({"gpu": 1},), f"{hardware.gpus} GPUs", None)


_LOST = re.compile(
    r"\b(?:remaining|surviving|left|others?|verbleibend\w*|übrig\w*|restlich\w*|restantes?|survivant\w*|autres?)\b[^.;]{0,30}"
    r"\b(?:replicas?|instances?|Replikate?n?|Instanzen|répliques?)|\b(?:replicas?|instances?|Replikate?|répliques?)\s(?:remaining"
    r"|left|that remain|restantes?)\b",
    re.IGNORECASE,
)
"""``the two remaining replicas get 4 requests/s each``: they share the demand."""


def _own_counts(result: Typed, typed: list[Typed], own: Situation, sentence_text: str) -> list[Typed]:
    """The strategy's GPUs and replicas, where a result is per one of them and the sentence does not count them."""
    degrees = own.degrees
    assert degrees is not None
    counts = {"gpu": degrees.gpus, "replica": degrees.dp}
    if _of_all(result, typed, own, sentence_text):
        return list(_machines(result, typed, own))
    work = own.problem.workload
    demand = []
    if (
        _LOST.search(sentence_text)
        and any(kind.get("request") == 1 and kind.get("s") == -1 and "replica" in kind for kind in result.kinds)
    ) or (
        any(kind.get("token") == 1 and kind.get("s") == -1 for kind in result.kinds)
        and not any(kind.get("request", 0) > 0 or kind.get("sequence", 0) > 0 for one in typed for kind in one.kinds)
        and any(
            one.measure is not None and one.measure.value in (work.output_tokens, work.prompt_tokens) for one in typed
        )
    ):
        demand = [Typed(work.requests_per_s, ({"request": 1, "s": -1},), f"{work.requests_per_s:g} requests/s", None)]
    return demand + [
        Typed(float(count), ({part: 1},), f"{count} {part}s", None)
        for part, count in counts.items()
        if count > 1
        and any(kind.get(part, 0) < 0 for kind in result.kinds)
        and not any(kind.get(part, 0) > 0 for one in typed for kind in one.kinds)
    ]


_BACK = re.compile(
    r"\b(?:that|this|these|those|split|spread|divided|shared|das|dies|diese|verteilt|aufgeteilt|cela|ce qui"
    r"|ceci|half|Hälfte|moitié|réparti\w*|divisé\w*|partagé\w*)\b",
    re.IGNORECASE,
)
"""Words by which a sentence goes on with the result of the one before."""


def _is_result(sentence: Sentence, measure: Measure, place: int) -> bool:
    if place == 0 and len(sentence.measures) > 1:
        # "1,600 tokens/s at batch 32 and 20 ms": the result stands first, its conditions follow.
        return measure.dimension in ("tokens/s",) and bool(
            re.match(r"[^.;]*?\b(?:at|with|from|bei|mit|avec|à)\b", sentence.text[measure.end :])
        )
    before = sentence.text[: measure.start]
    previous = max((m.end for m in sentence.measures if m.end <= measure.start), default=0)
    return (
        bool(_RESULT.search(before[previous:]))
        or (measure.dimension in ("W", "bytes") and bool(_FOR_ALL.match(sentence.text[measure.end :].lstrip(" ,("))))
        or measure == sentence.measures[-1]
        or (measure.dimension in ("tokens/s",) and bool(_RESULT.search(before)))
    )


def _is_condition(sentence: Sentence, measure: Measure) -> bool:
    return bool(
        re.search(
            r"\b(?:at|with|for|from|in|bei|mit|für|avec|à|pour|per)\s+(?:a |an |the |batch |about |batch size "
            r"|batches of )*(?:of )?$|\band\s+$",
            sentence.text[: measure.start],
        )
    )


def _typed(sentence: Sentence, measure: Measure) -> Typed:
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
                r"\b(?:[Ss]tep|[Tt]oken|[Ss]chritt|jeton)\b[^.;,\d]{0,24}\b(?:takes?|took|dauert|braucht|prend|dure"
                r"|lasts?)\s(?:about |etwa |environ )?$",
                before,
            )
            or re.search(r"\b(?:[Tt]okens?|jetons?)\s(?:at|of|with|à|bei|mit|zu)\s(?:about |etwa |environ )?$", before)
            or re.match(
                r"\s*(?:per|/|pro|je|par|for each|a)\s*(?:output |generated |decoded )?-?(?:tokens?|steps?|jetons?|Token"
                r"|Schritt|Dekodierschritt|decode step|pas|Ausgabetoken|iteration)",
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


def _judged(sentence: Sentence, result: Typed, operands: list[Typed], own: Situation) -> Claim | None:
    measure = result.measure
    assert measure is not None
    expected: dict[float, str] = {}
    exact: set[float] = set()
    for size in range(2, min(4, len(operands)) + 1):
        for chosen in combinations(operands, size):
            for kinds in product(*(one.kinds for one in chosen)):
                for powers in product((1, -1), repeat=size):
                    if all(power < 0 for power in powers):
                        continue
                    dims = _times(kinds, powers)
                    for kind in result.kinds:
                        if _goes_with(dims, kind):
                            value = _value(chosen, powers)
                            if dims == kind and any(name in PARTS for name in kind):
                                exact.add(value)
                            expected.setdefault(value, _written(chosen, powers))
    if not expected:
        return None
    scale = 1e3 if measure.dimension == "ms" else 1.0
    loose = [1.0]
    named = re.search(r"\b(?:replica|instance|Replikat|réplique)", sentence.text, re.IGNORECASE)
    work = own.problem.workload
    demand = {"requests/s": work.requests_per_s, "tokens/s": work.requests_per_s * work.output_tokens}
    whole = any(one.measure is not None and one.value == demand.get(one.measure.dimension) for one in operands)
    if measure.dimension in ("tokens/s", "requests/s") and own.degrees is not None and not named and whole:
        loose += [1 / own.degrees.dp, 1 / own.degrees.gpus]  # the demand of all: only parts of it can be meant
    elif measure.dimension in ("tokens/s", "requests/s") and own.degrees is not None and not named:
        d = own.degrees
        loose += [float(d.dp), 1 / d.dp, float(d.gpus), 1 / d.gpus, d.dp / d.gpus, d.gpus / d.dp]
    near = 0.012 if measure.dimension else 0.0
    bound, denied = bound_of(sentence, measure), sentence.denied_bound(measure)
    for value, written in expected.items():
        for times in (1.0,) if value in exact else loose:
            bounded = (bound is not None or denied is not None) and (
                value * scale * times >= measure.value * 0.988
                if denied == "≥" or (denied is None and bound is not None and bound.id("at_least"))
                else value * scale * times <= measure.value * 1.012
            )
            if bounded or measure.says(value * scale * times, near):
                return _say(sentence, measure, "confirmed", value * scale * times, written)
    if not _may_refute(sentence, measure, result, operands):
        return None
    value, written = max(
        expected.items(),
        key=lambda item: (item[1].count("×") + item[1].count("÷"), -abs(item[0] * scale - measure.value)),
    )
    return _say(sentence, measure, "refuted", value * scale, written)


def _times(kinds: tuple[dict[str, int], ...], powers: tuple[int, ...]) -> dict[str, int]:
    total: dict[str, int] = {}
    for kind, power in zip(kinds, powers, strict=True):
        for name, exponent in kind.items():
            total[name] = total.get(name, 0) + power * exponent
    return {name: exponent for name, exponent in total.items() if exponent}


def _goes_with(dims: dict[str, int], wanted: dict[str, int]) -> bool:
    """Equal dimensions; where it is about rates and bytes, parts (replicas, GPUs) may stay unsaid on one side."""
    if dims == wanted:
        return True
    if not any(name in CORE for name in wanted):
        return False
    if wanted == {"s": 1}:
        return {n: e for n, e in dims.items() if n not in (*PARTS, "sequence")} == wanted
    core = {n: e for n, e in dims.items() if n in CORE} == {n: e for n, e in wanted.items() if n in CORE}
    parts = {n: e for n, e in dims.items() if n in PARTS}
    return core and not parts and not {"byte", "watt"} & set(wanted)


def _value(chosen: tuple[Typed, ...], powers: tuple[int, ...]) -> float:
    total = 1.0
    for one, power in zip(chosen, powers, strict=True):
        value = one.value / 1e3 if one.measure is not None and one.measure.dimension == "ms" else one.value
        if value == 0:
            return float("inf")
        total = total * value if power > 0 else total / value
    return total


def _written(chosen: tuple[Typed, ...], powers: tuple[int, ...]) -> str:
    first = " × ".join(one.text.strip() for one, power in zip(chosen, powers, strict=True) if power > 0)
    rest = "".join(f" ÷ {one.text.strip()}" for one, power in zip(chosen, powers, strict=True) if power < 0)
    return first + rest


def _may_refute(sentence: Sentence, measure: Measure, result: Typed, operands: list[Typed]) -> bool:
    text = sentence.text
    if not sentence.firm or re.search(r"\d\s*\)?\s*[×✕*÷/+]\s*\(?\d|[×✕÷]", text):
        return False
    if sentence.denies(measure) or re.search(
        r"\b(?:up to|at most|at least|less than|more than|below|above|under|over|bis zu|höchstens|mindestens"
        r"|au plus|au moins|limit|target|instead of|rather than|compared|versus|vs)\b",
        _without_bound(sentence, measure),
        re.IGNORECASE,
    ):
        return False
    if measure.dimension != "ms" and re.search(r"\bfrom\b", text, re.IGNORECASE):
        return False
    if any(one.measure is not None and one.measure.hedged for one in operands):
        return False
    if measure.dimension == "" and "s" not in result.kinds[0]:
        noun = next(iter(result.kinds[0]))
        if noun == "token":
            kinds = [kind for one in operands for kind in one.kinds]
            return {"byte": 1} in kinds and {"byte": 1, "token": -1} in kinds and len(operands) == 2
        if noun == "sequence" and RUNNING.match(text[measure.end :]):
            kinds = [kind for one in operands for kind in one.kinds]
            return {"s": 1} in kinds and any(k.get("request") == 1 and k.get("s") == -1 for k in kinds)
        if noun == "sequence" and re.search(r"=\s*$", text[: measure.start]):
            kinds = [kind for one in operands for kind in one.kinds]
            return {"token": 1} in kinds and {"token": 1, "sequence": -1} in kinds
        # Counted results need the verb of a result right before them; "two replicas on eight GPUs" says nothing of the kind.
        previous = max((m.end for m in sentence.measures if m.end <= measure.start), default=0)
        return noun == "gpu" and bool(
            re.search(
                r"\b(?:comes? to|come to|amounts? to|adds? up to|makes?|gives?|totals?|equals?|is|are|=|needs?|requires?|takes?"
                r"|take|ergeben|ergibt|sind|machen|brauchen"
                r"|benötigen|font|fait|donnent|donne|totalisent|occupy|occupies|would need|would require|in total"
                r"|add up to)\b[^\d]*$",
                text[previous : measure.start],
                re.IGNORECASE,
            )
        )
    if measure.dimension in ("bytes", "W"):
        return _sum_of_cards(sentence, measure, operands)
    if measure.dimension == "bytes/s":
        return False
    if (
        measure.dimension == "ms"
        and len(operands) == 2
        and any(
            one.measure is not None and one.measure.dimension == "ms" and "token" in kind
            for one in operands
            for kind in one.kinds
        )
    ):
        return any(kind == {"token": 1} for one in operands for kind in one.kinds) and not sentence.has("target")
    if measure.dimension == "ms":
        return (
            sum(m.dimension == "ms" for m in sentence.measures) == 1
            and any(m.dimension == "bytes/s" for m in sentence.measures)
            and sum(m.dimension == "bytes" for m in sentence.measures) == 1
        )
    return True


_CONTENT = re.compile(
    r"\b(?:weights?|cache|model|left|free|remain\w*|used|needs?|Gewicht\w*|Modell|bleib\w*|frei|brauch\w*|poids|modèle|reste\w*|RAM)\b",
    re.IGNORECASE,
)
_TOGETHER = re.compile(
    r"(?:=|→|->|\b(?:together|in total|in all|altogether|makes?|gives?|totals?|total|comes? to|adds? up to|zusammen|insgesamt|macht|ergibt"
    r"|ergeben|sind|au total|en tout|font|fait|soit|donnent)\b)[^\d]{0,24}$",
    re.IGNORECASE,
)


def _sum_of_cards(sentence: Sentence, measure: Measure, operands: list[Typed]) -> bool:
    """``eight H100 of 80 GB make 512 GB``: cards, what each has, and their sum; other sizes are the ledger's business."""
    each = [
        one for one in operands if any(kind in ({"byte": 1, "gpu": -1}, {"watt": 1, "gpu": -1}) for kind in one.kinds)
    ]
    counts = [
        one for one in operands if any(kind in ({"gpu": 1}, {"node": 1}, {"gpu": 1, "node": -1}) for kind in one.kinds)
    ]
    previous = max((m.end for m in sentence.measures if m.end <= measure.start), default=0)
    counted = {one.measure for one in counts}
    if re.search(r"\d\s?[x×]\s?\d", sentence.text) or any(
        not m.dimension and m not in counted and m is not measure for m in sentence.measures
    ):
        return False
    return (
        len(each) == 1 and bool(counts) and not _CONTENT.search(sentence.text)
        and bool(
            _TOGETHER.search(sentence.text[previous : measure.start])
            or _FOR_ALL.match(sentence.text[measure.end :].lstrip(" ,("))
            or (measure == sentence.measures[-1] and _FOR_ALL.search(sentence.text[measure.end :]))
        )
    )  # fmt: skip


_OVER_A_LINK = re.compile(r"\b(?:over|über)\s+(?:the\s|a\s|die\s|das\s)?(?=\d)", re.IGNORECASE)


def _without_bound(sentence: Sentence, measure: Measure) -> str:
    """The sentence without the bound of the result itself, which is compared as such, and without "over 400 Gbit/s"."""
    text, bound = sentence.text, bound_of(sentence, measure)
    if sentence.denied_bound(measure):
        text = text[measure.end :]
    elif bound is not None:
        text = text[: bound.start] + text[bound.end :]
    return _OVER_A_LINK.sub(" ", text) if measure.dimension == "ms" else text


def bound_of(sentence: Sentence, measure: Measure) -> Term | None:
    """The "at least" or "at most" right before a figure."""
    for term in sentence.terms:
        if (
            (term.id("at_least") or term.id("at_most"))
            and term.end <= measure.start
            and not re.sub(
                r"\b(?:about|the|a|some|rund|etwa|environ)\b", "", sentence.text[term.end : measure.start]
            ).strip(" ~≈(")
        ):
            return term
    return None


def _say(sentence: Sentence, measure: Measure, verdict: str, expected: float, written: str) -> Claim:
    right = shown(expected, measure.dimension)
    reason = f"{written} = {right}" + ("." if verdict == "confirmed" else f", not {measure.text}.")
    parsed = Parsed(written, measure.dimension or "count", measure.value, measure.dimension, "=")
    return Claim(
        sentence.statement.line, shortened(sentence.statement.text), "confirmed" if verdict == "confirmed" else "refuted", reason,
        measure.text, right, parsed,
    )  # fmt: skip
