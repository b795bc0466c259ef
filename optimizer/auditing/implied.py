"""Judges arithmetic that a sentence implies without writing it: ``batch 32 at 25 ms per token emits 1,600 tokens/s``.

Every figure gets the dimensions that its unit, its noun and its "per" give it. Where products and quotients of the other
figures of the sentence have the dimensions of the result, one of them has to be the result; if none is, it is refuted.
Sequences in progress each gain a token per step, so ``ms per token`` is time × sequences ÷ tokens (Little's law).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations, product

from optimizer.auditing.context import Context
from optimizer.auditing.dimensions import CORE, PARTS, Typed, typed_figure
from optimizer.auditing.facts import Situation
from optimizer.auditing.implied_refutable import bound_of, may_refute
from optimizer.auditing.labels import shortened
from optimizer.auditing.measures import Measure, shown
from optimizer.auditing.own_counts import FOR_ALL, LOST, of_result, own_counts
from optimizer.auditing.scopes import scope_of
from optimizer.auditing.sentences import Sentence
from optimizer.results.audit import Claim, Parsed

_RESULT = re.compile(
    r"(?:=|≈|→|\b(?:is|are|makes?|gives?|yields?|equals?|takes?|took|needs?|requires?|uses?|occup(?:y|ies)|fills?|emits?|produces?"
    r"|delivers?|generates?|means?|hence|therefore|thus|so|i\.e\.|that is|which is|comes? to|amounts? to"
    r"|adds? up to|sums? to|totals?|results? in|reach(?:es)?|sustains?|lasts?|costs?|at most|would take"
    r"|sind|ist|ergibt|ergeben|macht|machen|liefert|liefern|erzeugt|also|dauert|dauern|braucht"
    r"|benötigt|belegen|belegt|d\. ?h\.|somit|daher|schafft"
    r"|donnent?|fait|font|est|sont|soit|donc|produit|produisent|prend|prennent|représentent?|délivre|fournit"
    r"|émet|génère|demande|dure|occupent|utilisent))\b[^\d]*$",
    re.IGNORECASE,
)


def judge_implied(sentence: Sentence, context: Context, own: Situation) -> Iterator[Claim]:
    """One claim for every result of a sentence that its other figures determine."""
    typed = [typed_figure(sentence, measure) for measure in sentence.measures]
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
            and (result.measure.dimension or not _WRITTEN_OUT.search(sentence.text))
            and (not sentence.has("hypothetical") or LOST.search(sentence.text))
        ):
            typed += own_counts(result, typed, own, sentence.text) if _counted(own, context) else []
        operands = [
            one
            for i, one in enumerate(typed)
            if i != place
            and one.kinds
            and (
                one.measure is None or i < place or i >= len(sentence.measures) or _is_condition(sentence, one.measure)
            )
        ]
        said = _judged(sentence, result, of_result(result, operands), own) or _of_tokens(
            sentence, result, operands, own
        )
        if said is not None:
            yield said
    rates = [m for m in sentence.measures if m.dimension in ("tokens/s", "requests/s")]
    rates = [m for m in rates if not scope_of(sentence, m, sentence.clause(m.start)).ids]
    if rates:
        context.last_rate = (sentence.statement.line, rates[-1].value, rates[-1])


def _counted(own: Situation, context: Context) -> bool:
    """Whether the report says how many GPUs its strategy takes: it names its replicas, or one replica takes them all."""
    proposed = context.strategy
    return (
        proposed is None
        or "dp" in proposed.named
        or own.degrees is None
        or own.degrees.gpus == own.problem.hardware.gpus
    )


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
        or not may_refute(sentence, measure, result, operands)
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


_WRITTEN_OUT = re.compile(r"\d\s(?:[^\W\d]+\s){0,2}[×✕*x]\s?\d")
"""``3 nodes × 4 cards``: a sentence that writes its factors out leaves none of them unsaid."""
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
        or (measure.dimension in ("W", "bytes") and bool(FOR_ALL.match(sentence.text[measure.end :].lstrip(" ,("))))
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
    whole = any(
        math.isclose(one.value, demand.get(one.measure.dimension, 0.0))
        if one.measure is not None
        else one.kinds == ({"request": 1, "s": -1},) and math.isclose(one.value, work.requests_per_s)
        for one in operands
    )
    if measure.dimension in ("tokens/s", "requests/s") and own.degrees is not None and not named and whole:
        loose += [1 / own.degrees.dp, 1 / own.degrees.gpus]  # the demand of all: only parts of it can be meant
    elif measure.dimension in ("tokens/s", "requests/s") and own.degrees is not None and not named:
        d = own.degrees
        loose += [float(d.dp), 1 / d.dp, float(d.gpus), 1 / d.gpus, d.dp / d.gpus, d.gpus / d.dp]
    near = 0.012 if measure.dimension else 0.0
    bound, denied = bound_of(sentence, measure), sentence.denied_bound(measure)
    for value, written in expected.items():
        for times in (1.0,) if value in exact else loose:
            bounded = (
                (measure.dimension != "W" or measure.bounds_power)
                and (bound is not None or denied is not None)
                and (
                    value * scale * times >= measure.value * 0.988
                    if denied == "≥" or (denied is None and bound is not None and bound.id("at_least"))
                    else value * scale * times <= measure.value * 1.012
                )
            )
            if bounded or measure.says(value * scale * times, near):
                return _say(sentence, measure, "confirmed", value * scale * times, written)
    if not may_refute(sentence, measure, result, operands):
        return None
    if not measure.dimension and _of_parts(measure, operands, own):
        return None
    value, written = max(
        expected.items(),
        key=lambda item: (item[1].count("×") + item[1].count("÷"), -abs(item[0] * scale - measure.value)),
    )
    return _say(sentence, measure, "refuted", value * scale, written)


def _of_parts(measure: Measure, operands: list[Typed], own: Situation) -> bool:
    """Whether a bare number is another figure per GPU, replica or node: ``1,080 tok/s out, 90 per card``."""
    degrees, hardware = own.degrees, own.problem.hardware
    parts = {hardware.gpus, hardware.nodes, hardware.gpus_per_node}
    parts |= {degrees.gpus, degrees.dp, degrees.tp * degrees.pp} if degrees is not None else set()
    return any(measure.says(one.value / part, 0.012) for one in operands for part in parts)


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


def _say(sentence: Sentence, measure: Measure, verdict: str, expected: float, written: str) -> Claim:
    right = shown(expected, measure.dimension)
    reason = f"{written} = {right}" + ("." if verdict == "confirmed" else f", not {measure.text}.")
    parsed = Parsed(written, measure.dimension or "count", measure.value, measure.dimension, "=")
    return Claim(
        sentence.statement.line, shortened(sentence.statement.text), "confirmed" if verdict == "confirmed" else "refuted", reason,
        measure.text, right, parsed,
    )  # fmt: skip
