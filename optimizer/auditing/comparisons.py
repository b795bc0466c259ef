"""Judges figures of a sentence beside each other: targets met, percentiles in order, units converted, shares and ratios."""

from __future__ import annotations

import re
from collections.abc import Iterator

from optimizer.auditing.context import Context
from optimizer.auditing.facts import Situation
from optimizer.auditing.labels import shortened
from optimizer.auditing.lexicon import Term
from optimizer.auditing.measures import Measure, shown
from optimizer.auditing.sentences import Sentence
from optimizer.results.audit import Claim, Parsed, Verdict

_REACHED = re.compile(
    r"\b(?:goal|target|limit|objective|SLO|\w*[Zz]iel|objectif|cible)\b[^.]{0,30}\b(?:reached|achieved|attained"
    r"|hit|erreicht|atteinte?|tenue?)\b",
    re.IGNORECASE,
)
_PLACES = {
    **dict.fromkeys(
        (
            "above",
            "over",
            "exceeds",
            "exceed",
            "exceeded",
            "beyond",
            "überschritten",
            "überschreitet",
            "dépasse",
            "dépassé",
            "au-dessus",
        ),
        "high",
    ),
    **dict.fromkeys(("below", "under", "unter", "sous", "inférieur", "stays below", "remains below"), "low"),
}
"""Words of place: below a latency limit is good, below a rate to reach is not."""
_HARD = re.compile(
    r"\b(?:targets?|limits?|goals?|SLO|SLA|objectives?|requirements?|must|zugesagt|vereinbart|gefordert|verlangt|versprochen"
    r"|promis|convenus?|exigés?|\w*-?Ziel|Zielwert|Grenze|Grenzwert|Vorgabe|ceiling|plafond|agreed|promised"
    r"|muss|objectif|cible|limite|doit)\b",
    re.IGNORECASE,
)
_MUST = re.compile(
    r"\b(?:must|should|has to|have to|needs? to|shall|may not|muss|müssen|soll|sollen|darf|dürfen|doit|doivent|devra|devrait)\b",
    re.IGNORECASE,
)
_SAME = re.compile(
    r"^\s*\(?\s*(?:=|≈|,?\s*(?:i\.\s?e\.|that is|that's|which is|which are|which equals|which makes|or|or about"
    r"|namely|equals|is|are|makes|in other words|equivalent to|corresponding to|d\. ?h\.|das sind|das ist|also"
    r"|entspricht|entsprechen|oder|soit|c'est-à-dire|c\.-à-d\.|ou|ce qui fait|équivaut à|équivalent à"
    r"|correspond à)\s*,?)?\s*(?:about|roughly|around|some|approximately|~|≈|rund|etwa|environ)?\s*\(?$",
    re.IGNORECASE,
)


_SAME_AFTER_WORDS = re.compile(
    r"\s[^\d,;.()]{2,30},\s(?:i\.e\.|that is|which is|that's|which makes|das sind|das ist|d\. ?h\.|soit|c'est-à-dire)\s(?:about "
    r"|rund |etwa |environ )?",
    re.IGNORECASE,
)
"""``25 Gbit/s am Netz, das sind 3,1 GB/s``."""
_NEARLY = re.compile(
    r"(?:\s[^\d,;.()]{2,30})?,?\s?\(?(?:which is |that is |das sind |soit )?(?:a (?:bit|little|touch)|slightly|just|etwas|knapp"
    r"|gut|un peu)\s"
    r"(?:under|over|above|below|more than|less than|unter|über|mehr als|weniger als|plus de|moins de)\s",
    re.IGNORECASE,
)
"""``70,272 bytes of cache, a bit under 69 KiB``: the same amount, rounded in words."""


def judge_comparisons(sentence: Sentence, context: Context, own: Situation) -> Iterator[Claim]:
    """Claims about two figures of one sentence."""
    if sentence.statement.line in context.rows:
        return
    yield from conversions(sentence)
    yield from _percentiles(sentence)
    compared = list(_placed(sentence))
    yield from compared or _targets(sentence, context)
    yield from _differences(sentence, context)
    yield from _ratios(sentence)
    yield from _from_to(sentence)
    yield from _goes_into(sentence)
    yield from _left_of(sentence, own)
    yield from _parts(sentence)
    yield from _share_of(sentence)
    yield from _cards_together(sentence)


def _claim(
    sentence: Sentence, verdict: Verdict, reason: str, stated: Measure, expected: str | None, quantity: str, relation: str = "="
) -> Claim:  # fmt: skip
    return Claim(
        sentence.statement.line, shortened(sentence.statement.text), verdict, reason, stated.text, expected,
        Parsed(sentence.text[:60], quantity, stated.value, stated.dimension, relation),
    )  # fmt: skip


def conversions(sentence: Sentence) -> Iterator[Claim]:
    """``400 Gbit/s, i.e. 50 GB/s``: the same amount in two units."""
    for first, second in zip(sentence.measures, sentence.measures[1:], strict=False):
        if first.dimension != second.dimension or not first.dimension or not first.unit or not second.unit:
            continue
        if first.unit.lower() == second.unit.lower() or first.dimension not in ("bytes", "bytes/s", "ms", "FLOP/s"):
            continue
        gap = sentence.text[first.end : second.start]
        bracket = (
            bool(re.fullmatch(r"\s*\(\s*(?:=|≈|~|about|i\.e\.|or)?\s*", gap))
            and first.dimension == "bytes/s"
            and _bits(first) != _bits(second)
        )
        explicit = bool(_SAME.match(gap)) and bool(re.search(r"[=≈\w]", gap))
        explicit = explicit or bool(_SAME_AFTER_WORDS.fullmatch(gap))
        if _NEARLY.fullmatch(gap):
            yield from _restated(sentence, first, second)
            continue
        if not (explicit or bracket):
            continue
        if re.search(r"\bor\b|\bou\b|\boder\b|\bis\b|\bare\b", gap) and first.dimension == "ms":
            continue
        if re.search(
            r"(?:[×*÷/+−-]|\d\s?[xX]|\b[xX]|\bmal|\btimes)\s*$", sentence.text[: first.start].rstrip("(")
        ) or re.match(r"\s*(?:[×*÷+−]|/\s?\d|per|/)", sentence.text[second.end :]):
            continue
        right = any(
            second.says(value, 0.012) or first.says(other, 0.012)
            for value in first.values
            for other in second.values
            for value in (value,)
        )
        right = right and any(
            abs(a - b) <= max(sa + sb, 0.012 * max(abs(a), abs(b)))
            for a, sa in zip(first.values, first.steps, strict=True)
            for b, sb in zip(second.values, second.steps, strict=True)
        )
        expected = _as(first, second)
        if right:
            yield _claim(sentence, "confirmed", f"{first.text} is {expected}.", second, expected, "unit conversion")
        elif explicit and re.search(r"\bor\b|\boder\b|\bou\b", gap):
            continue
        elif (first.dimension == "bytes/s" and _bits(first) != _bits(second)) or re.search(
            r"=|i\.\s?e|that is|which is|soit|d\. ?h|das sind|entspricht|c'est|equals|équivaut", gap, re.IGNORECASE
        ):
            if first.dimension == "bytes" and re.search(r"[×*÷/+−]", sentence.text):
                continue
            if first.dimension != "bytes/s" and any(
                m.end <= first.start and not re.search(r"[,;:.(]", sentence.text[m.end : first.start])
                for m in sentence.measures
            ):
                continue  # "300 tokens at 20 ms = 6 s": a product, and no conversion
            yield _claim(
                sentence,
                "refuted",
                f"{first.text} is {expected}, not {second.text}.",
                second,
                expected,
                "unit conversion",
            )


def _restated(sentence: Sentence, first: Measure, second: Measure) -> Iterator[Claim]:
    """An amount and what it is "a bit under" or "just over" in another unit."""
    if first.dimension not in ("bytes", "bytes/s"):
        return
    near = any(abs(a - b) <= 0.1 * max(a, b) for a in first.values for b in second.values)
    expected = _as(first, second)
    reason = f"{first.text} is {expected}" + ("." if near else f", not {second.text}.")
    yield _claim(sentence, "confirmed" if near else "refuted", reason, second, expected, "unit conversion")


def _bits(measure: Measure) -> bool:
    return bool(re.match(r"[KMGTk](?:b(?!y)|Bit|bE)", measure.unit))


def _as(first: Measure, second: Measure) -> str:
    """The first amount in the unit of the second."""
    number = re.sub(r"[^\d.,]", "", second.number)
    scale = second.value / (
        float(number.replace(",", ""))
        if re.fullmatch(r"[\d,]*\.?\d+", number) and number.replace(",", "")
        else second.value or 1.0
    )
    return f"{first.value / scale:,.4g} {second.unit}" if scale else shown(first.value, first.dimension)


def _percentiles(sentence: Sentence) -> Iterator[Claim]:
    """A higher percentile of the same metric cannot be below a lower one."""
    marks = [t for t in sentence.terms if t.id("percentiles")]
    times = [m for m in sentence.measures if m.dimension == "ms"]
    if len(marks) < 2 or len(times) < 2 or len({t.id("percentiles") for t in marks}) < 2:
        return
    metrics = {id for t in sentence.terms for id in t.ids("metrics")}
    if len(metrics) > 1 and not ("tpot" in metrics and len(metrics) == 1):
        return
    pairs = _paired(sentence, marks, times)
    for (low, a), (high, b) in ((x, y) for x in pairs for y in pairs if x[0] < y[0]):
        words = f"P{low} is {a.text}, P{high} is {b.text}"
        if a.value > b.value:
            yield _claim(
                sentence,
                "refuted",
                f"{words}: a higher percentile cannot be lower.",
                b,
                f"at least {a.text}",
                "percentiles",
                "≥",
            )
        else:
            yield _claim(sentence, "confirmed", f"{words}: in order.", b, None, "percentiles", "≥")
        return


def _paired(sentence: Sentence, marks: list[Term], times: list[Measure]) -> list[tuple[int, Measure]]:
    """Each percentile with its figure, all before or all behind their marks."""
    found: list[tuple[int, Measure]] = []
    first_is_mark = marks[0].start < times[0].start
    for mark in marks:
        near = [m for m in times if (m.start >= mark.end if first_is_mark else m.end <= mark.start)]
        if near:
            found.append((int(mark.id("percentiles") or 0), near[0] if first_is_mark else near[-1]))
    return found if len({m.start for _, m in found}) == len(found) else []


_BELOW = re.compile(
    r"\b(?:(?:well |safely |comfortably |still |just |clearly |far )*(?:within|under|below|inside)|less than"
    r"|lower than|faster than|shorter than|in line with|unter|innerhalb|im Rahmen(?: der| des| von)?|moins que|en deçà de"
    r"|dans la limite de|kleiner als|weniger als|en dessous de|sous|inférieure?s? à"
    r"|moins de)"
    r"\s+(?:the |our |its |a |an |der |den |dem |die |la |le |les |une? |allowed |agreed |promised |required |stated "
    r"|geforderten? |vereinbarten? |zugesagten? |erlaubten? |limit of |target of |limite de |Grenze von )*$",
    re.IGNORECASE,
)
_ABOVE = re.compile(
    r"\b(?:(?:well |just |clearly |far )*(?:above|over|beyond)|exceeds?|exceeding|more than|higher than"
    r"|greater than|über|oberhalb|größer als|mehr als|überschreitet|au-dessus de|supérieure?s? à|dépasse"
    r"|plus de)"
    r"\s+(?:the |our |its |a |an |der |den |dem |die |la |le |les |une? |allowed |agreed |limit of |target of |limite de |Grenze von )*$",
    re.IGNORECASE,
)


def _placed(sentence: Sentence) -> Iterator[Claim]:
    """``97 ms, well within the 90 ms we promised``: two figures of a kind, one said to lie below or above the other."""
    if sentence.has("hypothetical") or sentence.has("negation") or _MUST.search(sentence.text):
        return
    for first, second in zip(sentence.measures, sentence.measures[1:], strict=False):
        if (
            first.dimension != second.dimension
            or not first.dimension
            or first.dimension == "%"
            or first.hedged
            or second.hedged
        ):
            continue
        if sum(m.dimension == first.dimension for m in sentence.measures) != 2 or re.search(
            r"[×*÷/+−]\s*\(?$", sentence.text[: first.start]
        ):
            continue
        gap = sentence.text[first.end : second.start]
        below, above = _BELOW.search(gap), _ABOVE.search(gap)
        if (
            bool(below) == bool(above)
            or len(gap) > 90
            or re.search(r"\b(?:but|and|while|from|to|aber|und|mais|et)\b|[;]", gap)
        ):
            continue
        low, high = (first, second) if below else (second, first)
        holds = min(low.values) <= max(high.values) * (1 + 1e-9)
        sign = "≤" if below else "≥"
        reason = f"{first.text} is {'' if holds else 'not '}{'below' if below else 'above'} {second.text}"
        verdict: Verdict = "confirmed" if holds else "refuted"
        yield _claim(
            sentence, verdict, reason + ".", first, None if holds else f"{sign} {second.text}", "comparison", sign
        )
        return


def _targets(sentence: Sentence, context: Context) -> Iterator[Claim]:
    """A figure said to meet or miss a target that stands in the sentence or in the problem."""
    said = _verdict_words(sentence)
    promised = bool(_OF_TARGETS.search(sentence.statement.section)) and not sentence.has("achieved")
    metrics = [id for t in sentence.terms for id in t.ids("metrics")]
    times = [m for m in sentence.measures if m.dimension in ("ms", "requests/s", "tokens/s")]
    times = [m for m in times if not _DIFFERENCE.match(sentence.text[m.end :])]
    if not times or len({m.dimension for m in times}) != 1:
        return
    percentiles = {int(p) for t in sentence.terms if (p := t.id("percentiles"))}
    needs = context.problem.requirements
    demanded_only = bool(_MUST.search(sentence.text))
    demanded_only = demanded_only or promised or bool(_PROMISED.search(sentence.text))
    targets = times if demanded_only else [m for m in times if _near_target(sentence, m)]
    if len(targets) > 1 and len(times) == 2 and sentence.has("achieved"):
        marks = [t for t in sentence.terms if t.id("achieved")]
        targets = [max(times, key=lambda m: min(abs(m.start - t.end) for t in marks))]
    verb = _MEETS.search(sentence.text)
    if verb and len(times) == 2 and times[0].end <= verb.start() < times[1].start:
        targets = [times[1]]
    if _BOUND.match(sentence.text) and len(times) == 1:
        targets = times
    if demanded_only:
        said = None
    results = [m for m in times if m not in targets]
    if said is None:
        if targets and not results and not sentence.has("hypothetical") and not sentence.has("past"):
            yield from _stated_targets(sentence, context, targets)
        return
    if sentence.has("hypothetical") or len(results) != 1 or len(targets) > 1:
        return
    result, dimension = results[0], times[0].dimension
    if targets:
        limit, words = targets[0].value, targets[0].text
    elif dimension == "ms" and sentence.has("target") and len(set(metrics)) == 1 and len(percentiles) == 1:
        demanded = (
            getattr(needs, f"{metrics[0]}_p{next(iter(percentiles))}_ms", None)
            if next(iter(percentiles)) in (50, 99)
            else None
        )
        if demanded is None:
            return
        limit, words = float(demanded), f"{demanded:g} ms"
    else:
        return
    holds = result.value <= limit if dimension == "ms" else result.value >= limit
    relation = ("within" if holds else "above") if dimension == "ms" else ("at least" if holds else "below")
    reason = f"{result.text} is {relation} {words}"
    if holds == said:
        yield _claim(sentence, "confirmed", reason + ".", result, None, "target", "≤" if dimension == "ms" else "≥")
    else:
        yield _claim(
            sentence,
            "refuted",
            f"{reason}: the target is {'met' if holds else 'missed'}.",
            result,
            "met" if holds else "missed",
            "target",
            "≤" if dimension == "ms" else "≥",
        )


_DIFFERENCE = re.compile(
    r"\s*(?:below|under|above|over|less|more|short|better|worse|faster|slower|earlier|later|unter|über|weniger|mehr|darunter"
    r"|darüber|schneller|langsamer|besser|de (?:moins|plus)|au-dessous|au-dessus|en dessous|sous)\b",
    re.IGNORECASE,
)
"""Behind a figure: how far it is from another one, ``6 ms below the limit``."""
_PROMISED = re.compile(
    r"\b(?:promised|agreed|committed|zugesagt|vereinbart|versprochen|gefordert|promis|convenu)\b", re.IGNORECASE
)
_OF_TARGETS = re.compile(
    r"\b(?:targets?|SLOs?|SLAs?|promise\w*|objectives|requirements|service levels?|Ziele?|Zielwerte|Zusagen?|Anforderungen|Vorgaben"
    r"|objectifs|exigences|engagements?)\b[^/]*$",
    re.IGNORECASE,
)
"""Headings below which a latency is one that is demanded."""
_OF_ALL = re.compile(r"\s*(?:of|der|aller|des|de)\b", re.IGNORECASE)
"""Behind 99%: the share of requests that a percentile is."""
_MEETS = re.compile(
    r"\b(?:meets?|misses|fulfils?|satisfies|keeps?|respects?|violates?|erfüllt|verfehlt|hält|respecte|tient|manque)\s(?:the "
    r"|our |its |die |das |den |les? |la )?(?=\d)",
    re.IGNORECASE,
)
_BOUND = re.compile(
    r"^\W*(?:TTFT|TPOT|ITL|first token|inter-token latency)\W{0,3}\(?(?:P\d{2}|median)?\)?\s*(?:<=|≤|<|=<|⩽|at most|max\.?"
    r"|under|below|unter|höchstens|sous)\s*[\d.,]+\s?m?s\W*$",
    re.IGNORECASE,
)
"""``TTFT P99 <= 5 s``: a bound without a word for it."""


def _stated_targets(sentence: Sentence, context: Context, targets: list[Measure]) -> Iterator[Claim]:
    """``The P99 target for the first token is 1,200 ms`` against what the problem demands."""
    needs = context.problem.requirements
    for target in targets:
        if target.dimension != "ms":
            continue
        span = sentence.clause(target.start)
        metrics = {id for t in sentence.terms_in(*span) for id in t.ids("metrics")} or {
            id for t in sentence.terms for id in t.ids("metrics")
        }
        percentiles = {int(p) for t in sentence.terms_in(*span) if (p := t.id("percentiles"))} or {
            int(p) for t in sentence.terms if (p := t.id("percentiles"))
        }
        shares = [m for m in sentence.measures if m.dimension == "%" and _OF_ALL.match(sentence.text[m.end :])]
        percentiles |= {round(m.value) for m in shares if m.value in (50, 90, 95, 99)}
        if len(metrics) != 1:
            continue
        metric = next(iter(metrics))
        demanded = {p: getattr(needs, f"{metric}_p{p}_ms", None) for p in ((percentiles & {50, 99}) or {50, 99})}
        stated = {p: float(v) for p, v in demanded.items() if v is not None}
        if not stated:
            continue
        expected = ", ".join(f"P{p} {v:g} ms" for p, v in stated.items())
        if any(target.says(value, 0.0) for value in stated.values()):
            yield _claim(
                sentence,
                "confirmed",
                f"The problem demands {expected} for {metric.upper()}.",
                target,
                expected,
                f"{metric} target",
            )
        elif (
            (
                _HARD.search(sentence.text)
                or _BOUND.match(sentence.text)
                or _MUST.search(sentence.text)
                or _PROMISED.search(sentence.text)
                or _OF_TARGETS.search(sentence.statement.section)
            )
            and not _other_than_metric(sentence)
            and len(percentiles) == 1
            and len(stated) == 1
            and len(targets) == 1
            and len(sentence.measures) == 1 + len(shares)
        ):
            yield _claim(
                sentence,
                "refuted",
                f"The problem demands {expected} for {metric.upper()}, not {target.text}.",
                target,
                expected,
                f"{metric} target",
            )


def _differences(sentence: Sentence, context: Context) -> Iterator[Claim]:
    """``P99 is 44 ms, 6 ms below the limit``: how far a figure is from what the problem or the sentence demands."""
    times = [m for m in sentence.measures if m.dimension == "ms"]
    gaps = [m for m in times if _DIFFERENCE.match(sentence.text[m.end :])]
    others = [m for m in times if m not in gaps]
    if len(gaps) != 1 or not others or not sentence.has("target") or sentence.has("hypothetical"):
        return
    gap = gaps[0]
    limits = [m for m in others if _near_target(sentence, m) or m.start >= gap.end]
    results = [m for m in others if m not in limits]
    if len(results) != 1 or len(limits) > 1:
        return
    metrics = {id for t in sentence.terms for id in t.ids("metrics")}
    marks = {p for t in sentence.terms if (p := t.id("percentiles"))}
    if limits:
        limit: float | None = limits[0].value
    elif len(metrics) == 1 and len(marks) == 1:
        limit = getattr(context.problem.requirements, f"{next(iter(metrics))}_p{next(iter(marks))}_ms", None)
    else:
        return
    if limit is None:
        return
    value = abs(float(limit) - results[0].value)
    right = gap.says(value, 0.01)
    reason = f"{results[0].text} is {value:g} ms {'below' if results[0].value <= limit else 'above'} {limit:g} ms"
    if right or not gap.hedged:
        yield _claim(
            sentence, "confirmed" if right else "refuted", reason + ("." if right else f", not {gap.text}."), gap, f"{value:g} ms",
            "difference",
        )  # fmt: skip


def _other_than_metric(sentence: Sentence) -> bool:
    """Whether a word says that a figure is another one than the target; the "first" of "first token" does not."""
    metrics = [t for t in sentence.terms if t.id("metrics")]
    return any(not any(m.start <= t.start < m.end for m in metrics) for t in sentence.terms if t.id("other"))


def _near_target(sentence: Sentence, measure: Measure) -> bool:
    for term in sentence.terms:
        if not term.id("target"):
            continue
        if term.end <= measure.start:
            gap = sentence.text[term.end : measure.start]
            if (
                len(re.findall(r"\w+", gap)) <= 7
                and not any(term.end <= m.start < measure.start for m in sentence.measures)
                and not re.search(r"[;]", gap)
            ):
                return True
        elif measure.end <= term.start:
            gap = sentence.text[measure.end : term.start]
            if (
                len(re.findall(r"\w+", gap)) <= 2
                and not re.search(r"[,;:.()]", gap)
                and not any(measure.end <= m.start < term.start for m in sentence.measures)
            ):
                return True
    return False


def _verdict_words(sentence: Sentence) -> bool | None:
    """Whether the sentence says that a target is met (True) or missed (False)."""
    rates = any(m.dimension in ("requests/s", "tokens/s") for m in sentence.measures)
    if re.search(r"\b(?:but|however|although|aber|jedoch|mais|cependant|interval)\b", sentence.text, re.IGNORECASE):
        return None
    met: list[Term] = []
    missed: list[Term] = []
    for term in sentence.terms:
        place = _PLACES.get(term.text.casefold())
        if place is not None:
            (met if (place == "low") != rates else missed).append(term)
        elif term.id("met"):
            met.append(term)
        elif term.id("missed"):
            missed.append(term)
    if _REACHED.search(sentence.text) and not missed:
        met = met or [t for t in sentence.terms if t.id("target")]
    negations = [t for t in sentence.terms if t.id("negation")]
    if bool(met) == bool(missed):
        return None
    if not negations:
        return bool(met)
    word = (met or missed)[0]
    close = any(abs(n.end - word.start) <= 14 or abs(n.start - word.end) <= 14 for n in negations)
    return (not met) if close and met else None


_MORE = (
    r"(?P<more>faster|more|higher|above|over|larger|bigger|greater|longer|beyond|better|mehr|schneller|höher"
    r"|größer|über|de plus|plus|supérieure?s?|au-dessus|slower|länger)"
)
_LESS = (
    r"(?P<less>below|under|less|lower|fewer|smaller|shorter|weniger|niedriger|unter|kleiner|kürzer|de moins"
    r"|moins|inférieure?s?|en dessous|au-dessous|sous)"
)
_PERCENT = re.compile(rf"^\s*(?:points?\s)?(?:{_MORE}|{_LESS})\b", re.IGNORECASE)


_GOES_INTO = re.compile(
    r"\b(?:fits?|goes?|go|passt|passen|rentre\w*|tien\w+|loge\w*)\s(?:\w+\s)?(?:into|in|within|on|onto|auf|dans"
    r"|sur)\b[^,;]{0,24}$",
    re.IGNORECASE,
)


def _goes_into(sentence: Sentence) -> Iterator[Claim]:
    """``70 GB of weights, which still goes into 94 GB``: a size said to fit into another one."""
    sizes = [m for m in sentence.measures if m.dimension == "bytes"]
    if len(sizes) != 2 or any(not m.dimension and m.start > sizes[0].end for m in sentence.measures):
        return
    first, second = sizes
    gap = sentence.text[first.end : second.start]
    if not _GOES_INTO.search(gap) or re.search(r"\b(?:but|and|aber|und|mais|et|only|nur)\b|;", gap):
        return
    denied = sentence.has("negation", first.end, second.start)
    holds = min(first.values) <= max(second.values) * 1.07
    if holds and denied and first.value > 0.8 * second.value:
        return
    reason = f"{first.text} is {'not ' if not holds else ''}within {second.text}"
    yield _claim(
        sentence,
        "confirmed" if holds != denied else "refuted",
        reason + ".",
        first,
        None,
        "comparison",
        ">" if denied else "≤",
    )


_FROM_TO = re.compile(r"\b(?:from|von|de)\s$", re.IGNORECASE)
_ROOM = re.compile(
    r"\s*(?:of\s)?(?:headroom|slack|margin|reserve|room|Luft|Spielraum|Reserve|marge|(?:more|less|mehr|weniger|de plus|de moins)\b)"
)


def _from_to(sentence: Sentence) -> Iterator[Claim]:
    """``Going from 4 to 6 requests/s means 50% more``: the change between two ends."""
    shares = [m for m in sentence.measures if m.dimension == "%"]
    ranges = [m for m in sentence.measures if m.high > m.value > 0 and _FROM_TO.search(sentence.text[: m.start])]
    if (
        len(shares) != 1
        or len(ranges) != 1
        or len(sentence.measures) != 2
        or not _ROOM.match(sentence.text[shares[0].end :])
    ):
        return
    share, low, high = shares[0], ranges[0].value, ranges[0].high
    values = [100 * (high / low - 1), 100 * (1 - low / high)]
    right = any(share.says(value) or abs(share.value - value) <= 0.55 for value in values)
    reason = f"From {low:g} to {high:g} is {values[0]:.3g}% more, or {values[1]:.3g}% of the upper end"
    if right or not share.hedged:
        yield _claim(
            sentence, "confirmed" if right else "refuted", reason + ("." if right else f", not {share.text}."), share,
            f"{values[0]:.3g}% or {values[1]:.3g}%", "ratio",
        )  # fmt: skip


_REMAIN = re.compile(
    r"\b(?:remains?|left|leaves?|free|bleib\w*|übrig|verbleib\w*|frei|reste\w*|laisse\w*|libres?)\b", re.IGNORECASE
)
_AFTER_WEIGHTS = re.compile(
    r"\b(?:after|once|behind|besides|beside|without|nach|neben|abzüglich|après|une fois)\b[^,;]*\b(?:weights?|model|Gewichten?"
    r"|Modell|poids|modèle)\b"
    r"|\b(?:if|when|wenn|sobald|quand)\b[^,;]*\b(?:weights?|model|Gewichte|Modell|poids|modèle)\b[^,;]*\b(?:loaded|geladen|chargée?s?)\b",
    re.IGNORECASE,
)


def _left_of(sentence: Sentence, own: Situation) -> Iterator[Claim]:
    """``Of 72 GB that may be used on a card, 36.7 GB remain``: a whole that the sentence states, less the weights."""
    sizes = [m for m in sentence.measures if m.dimension == "bytes"]
    if len(sizes) != 2 or not _REMAIN.search(sentence.text) or own.degrees is None:
        return
    if sentence.has("hypothetical") and not _AFTER_WEIGHTS.search(sentence.text):
        return
    whole, rest = sizes
    lead = sentence.text[: whole.start]
    if (
        not re.search(r"\b(?:of|out of|from|von|vom|aus|de|sur|des)\s(?:\w+\s){0,4}$", lead, re.IGNORECASE)
        or whole.value <= rest.value
    ):
        return
    known = own.values
    budgets = [known["utilization"] * known[name] for name in ("memory", "nominal_memory") if "utilization" in known]
    if not any(whole.says(value, 0.01) for value in (*budgets, known["memory"], known["nominal_memory"])):
        return
    value = whole.value - known["weights_gpu"]
    if rest.near(value, 0.03):
        yield _claim(sentence, "confirmed", f"{whole.text} less {shown(known['weights_gpu'], 'bytes')} of weights is"
            f" {shown(value, 'bytes')}.",
                     rest, shown(value, "bytes"), "left")  # fmt: skip
    elif not rest.hedged and (_AFTER_WEIGHTS.search(sentence.text) or rest.value > value) and value > 0:
        yield _claim(sentence, "refuted", f"{whole.text} less {shown(known['weights_gpu'], 'bytes')} of weights is"
            f" {shown(value, 'bytes')}, "
                     f"not {rest.text}.", rest, shown(value, "bytes"), "left")  # fmt: skip


def _ratios(sentence: Sentence) -> Iterator[Claim]:
    """``3.1 s is 22.5% below the limit of 4 s``."""
    for share in sentence.measures:
        found = _PERCENT.match(sentence.text[share.end :]) if share.dimension == "%" else None
        if not found or share.value <= 0:
            continue
        others = [m for m in sentence.measures if m.dimension not in ("%",) and m != share]
        same = [
            m
            for m in others
            if sum(
                (o.dimension == m.dimension and o.unit.lower() == m.unit.lower()) or o.dimension == m.dimension != ""
                for o in others
            )
            == 2
        ]
        if (
            len(same) != 2
            or len(others) != 2
            or not all(m.value for m in same)
            or sum(m.dimension == "%" for m in sentence.measures) > 1
        ):
            continue
        if max(abs(m.start - share.end) for m in same) > 90:
            continue
        a, b = same[0].value, same[1].value
        most, least = max(a, b), min(a, b)
        shares = [100 * (most / least - 1), 100 * (1 - least / most)]
        right = any(share.says(value) or abs(share.value - value) <= 0.55 for value in shares)
        larger, smaller = shown(most, same[0].dimension), shown(least, same[0].dimension)
        text = f"{larger} is {shares[0]:.3g}% more than {smaller}, which is {shares[1]:.3g}% less"
        if right:
            yield _claim(sentence, "confirmed", text + ".", share, None, "ratio")
        elif not (share.hedged and any(abs(share.value - v) <= max(2.0, 0.3 * v) for v in shares)) and not sentence.has(
            "negation"
        ):
            yield _claim(
                sentence,
                "refuted",
                f"{text}, not {share.text}.",
                share,
                f"{shares[0]:.3g}% or {shares[1]:.3g}%",
                "ratio",
            )


_CARDS_OF = re.compile(
    r"\s(?:GPUs|cards|accelerators|Karten|cartes)\s(?:of|with|mit|zu|à|de|at)\s(?:je\s)?$", re.IGNORECASE
)
_TOGETHER = re.compile(
    r"\b(?:in all|in total|together|altogether|give|make|gives|makes|ergeben|zusammen|insgesamt|font"
    r"|donnent|au total|is|are)\b",
    re.IGNORECASE,
)


def _cards_together(sentence: Sentence) -> Iterator[Claim]:
    """``Two cards of 96 GB give us 192 GB in all``."""
    counts = [m for m in sentence.measures if not m.dimension and not m.unit]
    sizes = [m for m in sentence.measures if m.dimension == "bytes"]
    if len(counts) != 1 or len(sizes) != 2 or sentence.has("negation"):
        return
    count, (each, whole) = counts[0], sizes
    gap = sentence.text[each.end : whole.start]
    if not _CARDS_OF.fullmatch(sentence.text[count.end : each.start]) or not _TOGETHER.search(
        gap + sentence.text[whole.end :]
    ):
        return
    value = count.value * each.value
    holds = whole.says(value, 0.02)
    if not holds and re.search(r"\b(?:weights?|cache|left|free|of|Gewichte|poids)\b", sentence.text[each.end :]):
        return
    reason = f"{count.text} × {each.text} is {shown(value, 'bytes')}" + ("." if holds else f", not {whole.text}.")
    yield _claim(sentence, "confirmed" if holds else "refuted", reason, whole, shown(value, "bytes"), "product")


_OF_WHOLE = re.compile(r"\s(?:of|der|von|des|de)\s(?:the |its |its full |their |ihrer |ses |les )?$", re.IGNORECASE)


def _share_of(sentence: Sentence) -> Iterator[Claim]:
    """``14.8 GB of weights, 62% of the 24 GB``: a share of a whole, beside the only other size."""
    shares = [m for m in sentence.measures if m.dimension == "%"]
    sizes = [m for m in sentence.measures if m.dimension == "bytes"]
    if len(shares) != 1 or len(sizes) != 2 or sentence.has("negation") or sentence.has("hypothetical"):
        return
    share, (part, whole) = shares[0], sizes
    if not (part.end <= share.start and _OF_WHOLE.fullmatch(sentence.text[share.end : whole.start])):
        return
    if not whole.value or re.search(r"[×÷/+]", sentence.text[part.end : share.start]):
        return
    value = 100 * part.value / whole.value
    holds = share.says(value, 0.03)
    if not holds and not 0 < value <= 100:
        return
    reason = f"{part.text} of {whole.text} is {value:.3g}%" + ("." if holds else f", not {share.text}.")
    yield _claim(sentence, "confirmed" if holds else "refuted", reason, share, f"{value:.3g}%", "share")


def _parts(sentence: Sentence) -> Iterator[Claim]:
    """``23.6 of 40 GB`` beside the only percentage of the sentence."""
    shares = [m for m in sentence.measures if m.dimension == "%"]
    if len(shares) != 1:
        return
    share = shares[0]
    if _PERCENT.match(sentence.text[share.end :]):
        return
    for first, second in zip(sentence.measures, sentence.measures[1:], strict=False):
        if share in (first, second):
            continue
        gap = sentence.text[first.end : second.start]
        if (
            not re.fullmatch(
                r"\s*(?:\w+\s)?(?:of|out of|of the|of its|von|der|von den|sur|des)\s(?:the |its |all |les |den )?(?:\w+ )?",
                gap,
            )
            or not second.value
        ):
            continue
        if first.dimension and first.dimension != second.dimension:
            continue
        if not second.dimension and abs(share.start - second.end) > 14 and abs(first.start - share.end) > 8:
            continue
        number = (
            first.in_dimension(
                second.dimension,
                second.value / (float(re.sub(r"[^\d.]", "", second.number.replace(",", ".")) or 1) or 1),
            )
            if not first.dimension and second.dimension
            else first
        )
        value = 100 * number.value / second.value
        if share.says(value, 0.02) or share.says(100 - value, 0.02):
            yield _claim(
                sentence,
                "confirmed",
                f"{first.text} of {second.text} is {value:.3g}%.",
                share,
                f"{value:.3g}%",
                "share",
            )
        elif value <= 100 and not sentence.has("negation") and not sentence.has("other"):
            yield _claim(
                sentence,
                "refuted",
                f"{first.text} of {second.text} is {value:.3g}%, not {share.text}.",
                share,
                f"{value:.3g}%",
                "share",
            )
        return
