"""Judges figures that go on from the sentence before: ``That is 54 % of its 80 GB``, ``A month of 30 days comes to 6,480``.

What a sentence says last (a size, a price per hour, a rate) is kept for two lines; a share or a period beside the next figure is
computed from it. A figure that the product's own facts explain in another way is left alone.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

from optimizer.auditing.claims import figure_claim, verdict_of
from optimizer.auditing.context import Context
from optimizer.auditing.facts import Situation
from optimizer.auditing.measures import PERIODS, Measure, shown
from optimizer.auditing.sentences import Sentence
from optimizer.results.audit import Claim

FAR = 2
"""Lines after which nobody goes on with a figure."""
_BACK = re.compile(
    r"^\W*(?:that|this|it|which|these|they|so|hence|thus|therefore|i\.e\.|in other words|das|dies|es|damit|somit|also|folglich|d\. ?h\."
    r"|cela|ce qui|c'est|soit|donc|elles?|ils?)\b|\b(?:that is|that's|i\.e\.|which is|das sind|das ist|d\. ?h\.|soit|c'est-à-dire)\b",
    re.IGNORECASE,
)
_OF_SIZE = re.compile(
    r"\s*(?:of|von|der|des|de|d')\s(?:its|the|a|their|our|ihrer|ihren|den|einer|die|les|ses|ces)?\s?$", re.IGNORECASE
)
_ALSO = re.compile(
    r"[^,;.()]{0,24}?(?:,\s|\s)?(?:or|oder|ou|i\.e\.|that is|which is|das sind|d\. ?h\.|also|soit|=|\()\s?(?:about |rund |environ |etwa )?",
    re.IGNORECASE,
)
_OF_CARD = re.compile(
    r"\s*(?:of|von|der|des|de)\s(?:\w+\s){0,2}?(?:card|GPU|its memory|ihres Speichers|card's memory|GPU's memory|memory|Karte"
    r"|Speichers?|carte|mémoire)\b",
    re.IGNORECASE,
)
_PERIOD = re.compile(
    r"\b(?P<period>hour|day|week|month|year|Stunde|Tage?|Woche|Monat|Jahr|heure|jours?|journée|semaine|mois|hourly|daily|weekly|monthly"
    r"|yearly|stündlich|täglich|monatlich|jährlich)\b",
    re.IGNORECASE,
)
_ADVERBS = {
    "hourly": "hour", "daily": "day", "weekly": "week", "monthly": "month", "yearly": "year", "stündlich": "hour", "täglich": "day",
    "monatlich": "month", "jährlich": "year", "tage": "tag", "jours": "jour", "journée": "jour",
}  # fmt: skip
_SUM = re.compile(
    r"\b(?:comes? to|amounts? to|adds? up to|sums? to|totals?|makes?|is|are|costs?|means|gives?|brings?|ergibt|ergeben|sind|macht"
    r"|kostet|kommen|fallen"
    r"|summieren|beläuft|font|fait|coûte|représente|revient|donne)\b|[:=]",
    re.IGNORECASE,
)
_OTHER_TOPIC = re.compile(
    r"\b(?:tokens?|GB|users?|weeks of|uptime|downtime|logs?|GPU-hours?|hours of|staff|salar\w+|tickets?|errors?|failures?)\b",
    re.IGNORECASE,
)


def judge_carried(sentence: Sentence, context: Context, own: Situation) -> Iterator[Claim]:
    """Shares and sums over a period that go on from what was said before; then what this sentence says is kept."""
    if not (sentence.has("hypothetical") or sentence.has("past") or sentence.has("negation")):
        yield from _share(sentence, context, own)
        yield from _over_period(sentence, context, own)
        yield from _another_period(sentence, own)
    _keep(sentence, context)


def _keep(sentence: Sentence, context: Context) -> None:
    sizes = [m.value for m in sentence.measures if m.dimension == "bytes"]
    if sizes:
        context.said["sizes"] = (sentence.statement.line, sizes)
    for dimension in ("money/h", "requests/s"):
        values = [m.value for m in sentence.measures if m.dimension == dimension]
        if values:
            context.said["rate"] = (sentence.statement.line, values)
            context.said_of = dimension


def _share(sentence: Sentence, context: Context, own: Situation) -> Iterator[Claim]:
    shares = [m for m in sentence.measures if m.dimension == "%"]
    sizes = [m for m in sentence.measures if m.dimension == "bytes"]
    if len(shares) != 1 or own.degrees is None:
        return
    share = shares[0]
    before = [m for m in sizes if m.end <= share.start]
    here = before[-1:] if before and _ALSO.fullmatch(sentence.text[before[-1].end : share.start]) else []
    sizes = [m for m in sizes if m not in before]
    weights = (
        re.search(r"\b(?:weights|Gewichte\w*|poids)\b", sentence.text)
        and len(sizes) == 1
        and not before
        and "weights_gpu" in own.values
    )
    if weights and not sentence.strategies and not sentence.gpus:
        here = [sizes[0].in_dimension("bytes", own.values["weights_gpu"] / sizes[0].value)]
    if len(sizes) > 1 or not (here or (not before and _BACK.search(sentence.text))):
        return
    rest = sentence.text[share.end :]
    if sizes and _OF_SIZE.fullmatch(sentence.text[share.end : sizes[0].start]):
        wholes = [sizes[0].value]
    elif not sizes and _OF_CARD.match(rest):
        wholes = [own.values["nominal_memory"], own.values["memory"]]
    else:
        return
    line, parts = context.said.get("sizes", (-9, []))
    if here:
        line, parts = sentence.statement.line, [here[0].value]
    if not 0 <= sentence.statement.line - line <= FAR:
        return
    known = [own.values[name] for name in ("weights_gpu", "weights", "kv_token_gpu") if name in own.values]
    values = [(part, whole, 100 * part / whole) for part in (*parts, *known) for whole in wholes if whole]
    for part, whole, value in values:
        if share.says(value, 0.02):
            yield _claim(
                sentence,
                share,
                True,
                f"{shown(part, 'bytes')} of {shown(whole, 'bytes')} is {value:.3g}%",
                f"{value:.3g}%",
                "share",
            )
            return
    part, whole, value = values[len(parts) - 1] if parts else values[0]
    if value <= 100 and not share.hedged:
        yield _claim(
            sentence,
            share,
            False,
            f"{shown(part, 'bytes')} of {shown(whole, 'bytes')} is {value:.3g}%",
            f"{value:.3g}%",
            "share",
        )


def seconds_named(sentence: Sentence) -> tuple[float, ...]:
    """Seconds of the one period that a sentence names; "30 days" says how long its month is."""
    named = {_ADVERBS.get(m["period"].lower(), m["period"].lower()) for m in _PERIOD.finditer(sentence.text)}
    spans = [m.value / 1e3 for m in sentence.measures if m.dimension == "ms" and m.value >= 3.6e6]
    if len(spans) == 1 and (
        len(named) <= 1 or named <= {"month", "day", "monat", "tag", "mois", "jour", "year", "jahr"}
    ):
        return (spans[0],)
    return PERIODS.get(next(iter(named)), ()) if len(named) == 1 and not spans else ()


def _over_period(sentence: Sentence, context: Context, own: Situation) -> Iterator[Claim]:
    """A bare number said of a day or a month, behind a price or a rate."""
    bare = [m for m in sentence.measures if not m.dimension and not m.unit and not m.word]
    line, values = context.said.get("rate", (-9, []))
    seconds = seconds_named(sentence)
    if (
        len(bare) != 1
        or not seconds
        or not 0 <= sentence.statement.line - line <= FAR
        or _OTHER_TOPIC.search(sentence.text)
    ):
        return
    result = bare[0]
    if result.value < 20 or any(m.dimension in ("money/h", "requests/s") for m in sentence.measures):
        return
    if not _SUM.search(sentence.text[: result.start]) or sentence.text[result.end :].strip(" .!)"):
        return
    each = 3600.0 if context.said_of == "money/h" else 1.0
    rates = [*values, *_own_rates(own, context.said_of, sentence.text)]
    totals = [rate * length / each for rate in rates for length in seconds]
    right = next((total for total in totals if result.says(total, 0.01)), None)
    expected = right if right is not None else values[-1] * seconds[0] / each
    unit = "an hour" if each > 1 else "a second"
    how = f"{expected / seconds[0] * each:,.4g} {unit} for {seconds[0] / 3600:,.0f} hours is {expected:,.0f}"
    close = result.hedged and abs(result.value - expected) <= 0.25 * expected
    if right is not None or not (close or sentence.has("other")):
        yield _claim(sentence, result, right is not None, how, f"{expected:,.0f}", "sum over a period")


_PARTS = {
    "": re.compile(r"\b(?:GPU|card|accelerator|Karte|carte)\b", re.IGNORECASE),
    "gpus_per_node": re.compile(
        r"\b(?:node|server|box|machine|host|Knoten|Server|Rechner|serveur|nœud)\b", re.IGNORECASE
    ),
    "tp": re.compile(r"\b(?:replica|instance|Replikat|réplique)\b", re.IGNORECASE),
}


def _own_rates(own: Situation, dimension: str, text: str) -> list[float]:
    """Rates of the whole problem, and of the parts that a text speaks of."""
    known = own.values
    if dimension == "requests/s":
        return [known["rate"]] if "rate" in known else []
    named = [part for part, words in _PARTS.items() if words.search(text)]
    counts = [known.get(name, 1.0) for name in ("gpus", "gpus_used", *named) if name in known or not name]
    return [known["price"] * count for count in counts] if "price" in known else []


def _another_period(sentence: Sentence, own: Situation) -> Iterator[Claim]:
    """``the lot 12 an hour, so 240 a day``: one price by two periods."""
    prices = [m for m in sentence.measures if m.dimension == "money/h"]
    for first, second in itertools.pairwise(prices):
        gap = sentence.text[first.end : second.start]
        if re.search(r"[x×*÷/+]\s?$", sentence.text[: first.start]) or not re.search(
            r"(?:,?\s(?:so|that is|i\.e\.|or|hence|also|das sind|d\. ?h\.|oder|soit|ou|donc)|[=→(])\s*(?:\w+\s)?[€$£]?\s*$",
            gap,
        ):
            continue
        if any(second.near(first.value, 0.012) for _ in (0,)):
            yield _claim(
                sentence,
                second,
                True,
                f"{first.text} and {second.text} are one price",
                shown(first.value, "money/h"),
                "price",
            )
        elif not any(second.near(price, 0.012) for price in _own_rates(own, "money/h", sentence.text)):
            yield _claim(
                sentence, second, False, f"{first.text} is {shown(first.value, 'money/h')}, {second.text} would be"
                    f" {second.value:,.2f} an hour",
                shown(first.value, "money/h"), "price",
            )  # fmt: skip
        return


def _claim(sentence: Sentence, measure: Measure, right: bool, reason: str, expected: str, quantity: str) -> Claim:
    reason += "." if right else f", not {measure.text}."
    return figure_claim(sentence, verdict_of(right), reason, measure, expected, quantity)
