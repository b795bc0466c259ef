"""Judges figures beside targets: what is demanded, whether it is met, and by how much."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

from optimizer.auditing.claims import figure_claim
from optimizer.auditing.context import Context
from optimizer.auditing.lexicon import Term
from optimizer.auditing.measures import Measure
from optimizer.auditing.sentences import Sentence
from optimizer.results.audit import Claim

_SIGNS = {"✔": True, "✓": True, "✅": True, "☑": True, "✗": False, "✘": False, "❌": False}
"""Ticks and crosses behind a figure: whether its target is said to be met."""

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

MUST = re.compile(
    r"\b(?:must|should|has to|have to|needs? to|shall|may not|muss|müssen|soll|sollen|darf|dürfen|doit|doivent|devra|devrait)\b",
    re.IGNORECASE,
)


_NOUN = (
    r"(?:limit|ceiling|target|goal|threshold|SLO|SLA|Grenzwert|Grenze|Zielwert|Ziel|Vorgabe|Obergrenze|limite|plafond"
    r"|objectif|cible|seuil)"
)
_PAPER = (
    r"contract|agreement|SLA|SLO|specification|requirements?|customer|client|tender|Vertrag|Vereinbarung|Kunde|Lastenheft|Ausschreibung"
    r"|Auftraggeber"
    r"|contrat|accord|cahier des charges|client|appel d'offres"
)
_DEMANDED = (
    r"(?:permitted|allowed|agreed|promised|demanded|required|guaranteed|zulässig\w*|erlaubt\w*|vereinbart\w*|zugesagt\w*|gefordert\w*"
    r"|verlangt\w*|autorisée?s?|admise?s?|convenue?s?|exigée?s?|promise?s?)"
)
_OF_TOKEN = (
    r"(?:\s(?:for|on|of|für|pour|de)\s(?:the |a |each |den |das |ein |le |chaque |un )?"
    r"(?:first token|output token|token|ersten Token|weiteren Token|Token|premier (?:token|jeton)|token|jeton))"
)
"""``the limit for the first token``."""
_TIED_BEFORE = re.compile(
    rf"\b(?:{_NOUN}\b{_OF_TOKEN}?(?:\s(?:at|bei|im|au)\sP\d{{2}})?(?:\s(?:for|of|on|there|here|für|dafür|davon|dort|pour|en|it|that|this|the|figure|der|die|das)\b){{0,3}}"
    rf"(?:\s(?:\w+\s){{0,2}}?(?:is|are|was|of|at|stands at|beträgt|liegt bei|ist|von|est de|est|de))?"
    rf"(?:\s(?:set|fixed|put|festgelegt|festgesetzt|gesetzt|fixée?|placée?)(?:\s(?:at|to|auf|bei|à|sur))?)?"
    rf"|(?:{_PAPER})\s(?:\w+\s)?(?:says?|states?|stipulates?|demands?|requires?|asks for|allows?|permits?|names?|sieht|verlangt|fordert"
    rf"|erlaubt|nennt"
    rf"|gestattet|prévoit|exige|demande|autorise|impose|stipule)(?:\s(?:at most|höchstens|au plus))?"
    rf"|(?:we|you|they|wir|sie|nous|on)\s(?:are|were|sind|avons|a)\s(?:allowed|permitted|granted|droit à)"
    rf"|(?:uns|ihm|ihnen)\s(?:sind|stehen)|(?:uns|wir)\s(?:zugestanden|dürfen)"
    r"|(?:may|must|darf|dürfen|muss|müssen|doit|doivent|peut|peuvent)\s(?:not\s|pas\s|im\s|at\s|nach\s|in\s|en\s|take\s|be\s|stay\s"
    r"|remain\s|arrive\s|come\s|last\s"
    r"|within\s|below\s|under\s|at most\s|höchstens\s|exceed\s|dépasser\s|P99\s|prendre\s|arriver\s|be there\s|after\s)*"
    r"|(?:promise|guarantee|versprechen|garantieren|promettons|garantissons)\s"
    rf"|{_DEMANDED}(?:\s(?:is|are|was|were|wären|sind|war|ist|maximum|sont|est|at most|höchstens))?)\s*[:=|]?\s*$",
    re.IGNORECASE,
)
_TIED_BEHIND = re.compile(
    rf"\s(?:(?:that|which|die)\s)?(?:(?:is|are|was|were|ist|sind|wären|sont|est)\s)?(?:{_DEMANDED}|{_NOUN})\b",
    re.IGNORECASE,
)
LONGEST_LATENCY = 120_000
"""ms: longer times are no latency of a token."""


def tied_limits(sentence: Sentence, context: Context) -> Iterator[Claim]:
    """``The ceiling for that is 80 ms``, ``1,500 ms allowed``: a limit of latency against those that the problem states."""
    limits = {(one.metric, one.percentile): float(one.limit_ms) for one in context.problem.requirements.latency_limits}
    metrics = _metrics(sentence) or _metrics_before(sentence, context)
    if not limits or sentence.has("past") or sentence.has("hypothetical") or sentence.statement.kind == "code":
        return
    for measure in (*sentence.measures, *_bare_limits(sentence)):
        if (
            measure.dimension != "ms"
            or measure.value > LONGEST_LATENCY
            or _DIFFERENCE.match(sentence.text[measure.end :])
        ):
            continue
        if not (
            _TIED_BEFORE.search(sentence.text[: measure.start]) or _TIED_BEHIND.match(sentence.text[measure.end :])
        ):
            continue
        meant = {key: value for key, value in limits.items() if key[0] in metrics}
        right = [key for key, value in (meant or limits).items() if measure.says(value, 0.0)]
        stated = ", ".join(
            f"{metric.upper()} P{percentile} {value:g} ms" for (metric, percentile), value in (meant or limits).items()
        )
        if right:
            yield figure_claim(
                sentence, "confirmed", f"The problem demands {stated}.", measure, stated, "latency limit", "≤"
            )
        elif meant and len(metrics) == 1 and not any(measure.says(value, 0.0) for value in limits.values()):
            reason = f"The problem demands {stated}, not {measure.text}."
            yield figure_claim(sentence, "refuted", reason, measure, stated, "latency limit", "≤")


_FOLLOWING = re.compile(
    r"^\W*(?:\w+: )?(?:danach|thereafter|after(?:wards| that)|then|ensuite|puis|les suivants|the (?:following|others|rest)\b"
    r"|further ones|alle weiteren"
    r"|jedes weitere)\b|\btokens (?:after that|that follow|behind it)\b|\bfurther ones\b|\bper further token\b",
    re.IGNORECASE,
)
"""Tokens behind the first one, which a sentence before spoke of."""


def _metrics(sentence: Sentence) -> set[str]:
    named = {id for t in sentence.terms for id in t.ids("metrics")} & {"ttft", "tpot", "prefill"}
    return named or ({"tpot"} if _FOLLOWING.search(sentence.text) else set())


def _metrics_before(sentence: Sentence, context: Context) -> set[str]:
    """What the sentence before is about, on its line or the one above."""
    if not context.recent:
        return set()
    before = context.recent[-1]
    return _metrics(before) if 0 <= sentence.statement.line - before.statement.line <= 1 else set()


def _bare_limits(sentence: Sentence) -> list[Measure]:
    """``every 14 ms, and we are allowed 30``: a number without unit behind the only unit of time of the sentence."""
    times = [m for m in sentence.measures if m.dimension == "ms"]
    if len(times) != 1:
        return []
    scale = times[0].value / (_written(times[0]) or math.inf)
    return [
        m.in_dimension("ms", scale)
        for m in sentence.measures
        if not m.dimension
        and not m.unit
        and m.start > times[0].end
        and scale
        and re.match(r"\W*$", sentence.text[m.end :])
    ]


def _written(measure: Measure) -> float:
    """The number as it is written."""
    try:
        return float(measure.number.replace(",", "."))
    except ValueError:
        return 0.0


def targets_met(sentence: Sentence, context: Context) -> Iterator[Claim]:
    """A figure said to meet or miss a target that stands in the sentence or in the problem."""
    yield from tied_limits(sentence, context)
    said = _verdict_words(sentence)
    promised = said is None and bool(_OF_TARGETS.search(sentence.statement.section)) and not sentence.has("achieved")
    metrics = [id for t in sentence.terms for id in t.ids("metrics")]
    times = [m for m in sentence.measures if m.dimension in ("ms", "requests/s", "tokens/s")]
    times = [m for m in times if not _DIFFERENCE.match(sentence.text[m.end :])]
    if not times or len({m.dimension for m in times}) != 1:
        return
    percentiles = {int(p) for t in sentence.terms if (p := t.id("percentiles"))}
    needs = context.problem.requirements
    demanded_only = bool(MUST.search(sentence.text))
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
    if _MAY.search(sentence.text[: result.start]):
        return  # how far a prediction may go, and no result
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
        yield figure_claim(
            sentence, "confirmed", reason + ".", result, None, "target", "≤" if dimension == "ms" else "≥"
        )
    else:
        yield figure_claim(
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

_MAY = re.compile(r"\b(?:may|might|could)\s(?:reach|be|rise to|go up to|come to)\s$", re.IGNORECASE)
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


_TARGET_LABEL = re.compile(
    r"^\W*(?:TTFT|TPOT|ITL)[\s-]?(?:target|limit|SLO|SLA|requirement|Ziel|Grenze|Vorgabe)\s?[:=]\s?[\d.,]+\s?m?s\W*$",
    re.IGNORECASE,
)
"""``TPOT target: 45 ms``: the one that the problem demands, although no percentile is named."""


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
            yield figure_claim(
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
                or MUST.search(sentence.text)
                or _PROMISED.search(sentence.text)
                or _OF_TARGETS.search(sentence.statement.section)
            )
            and not _other_than_metric(sentence)
            and (len(percentiles) == 1 or (not percentiles and _TARGET_LABEL.match(sentence.text)))
            and len(stated) == 1
            and len(targets) == 1
            and len(sentence.measures) == 1 + len(shares)
        ):
            yield figure_claim(
                sentence,
                "refuted",
                f"The problem demands {expected} for {metric.upper()}, not {target.text}.",
                target,
                expected,
                f"{metric} target",
            )


def differences(sentence: Sentence, context: Context) -> Iterator[Claim]:
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
        yield figure_claim(
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
    signs = {_SIGNS[sign] for sign in _SIGNS if sign in sentence.text}
    if len(signs) == 1:
        return next(iter(signs))
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
