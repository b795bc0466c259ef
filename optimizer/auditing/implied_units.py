"""Units that stand elsewhere than behind the figure: in its label, in the period a sentence speaks of, or as money.

``Memory (GB): 80``, ``Requests per day: 345,600``, ``Over a day that is 86,400 requests``, ``4.80 an hour``.
"""

from __future__ import annotations

import re
from dataclasses import replace

from optimizer.auditing.measures import PERIODS, Measure, unit_of, units_in
from optimizer.auditing.number_words import NUMBER_WORDS

_PERIOD = (
    r"(?:per|an|a|one|each|every|in an|in a|over a|over an|pro|je|am|im|in der|in einer|par|en une|sur une|à l'|l'|l’|/)\s?"
    r"(?P<share>(?:GPU|card|Karte|carte)(?:[\s-]|\s(?:and|und|et)\s(?:per\s|pro\s|par\s|je\s)?))?(?P<period>second|Sekunde"
    r"|seconde|minute|Minute|hour|h|day|week|month|year|Stunde|Tag|Woche|Monat|Jahr|heure|jour|semaine|mois)\b"
)
_BEHIND = re.compile(
    r"\s*(?:USD|EUR|dollars?|euros?|Euro|€|\$|£)?\s*(?:in total |insgesamt |au total )?" + _PERIOD, re.IGNORECASE
)
_ANYWHERE = re.compile(
    rf"\b{_PERIOD}|\b(?P<clock>around the clock|rund um die Uhr|daily|täglich|hourly|stündlich|monthly|monatlich)\b"
    r"|^\W*(?P<label>hour|day|month|Stunde|Tag|Monat|heure|jour|mois)\s?[:=|]",
    re.IGNORECASE,
)
_DAILY = {"around the clock": "day", "rund um die uhr": "day", "daily": "day", "täglich": "day", "hourly": "hour",
          "stündlich": "hour", "monthly": "month", "monatlich": "month"}  # fmt: skip
_CURRENCY = re.compile(r"\s*(?:USD|EUR|dollars?|euros?|€|\$|£)(?![A-Za-z])", re.IGNORECASE)
_CURRENCY_BEFORE = re.compile(r"(?:USD|EUR|€|\$|£)\s*$", re.IGNORECASE)
_COST = re.compile(
    r"\b(?:money|Geld|argent|costs?|prices?|priced|bill|rent|spend|pay|budget|hourly rate|Kosten|Preis|kostet|kosten|Miete"
    r"|zahlen|Rechnung|prix|coûts?|coûte|coûtent|facture|loyer|paie|payons)\b",
    re.IGNORECASE,
)
_PRICED = re.compile(
    r"[€$£]|\b(?:USD|EUR|euros?|dollars?|GPU-?(?:hours?|h|Stunden?)|(?:per|a|pro|je|par) (?:GPU|card|Karte|carte)(?:[ -]| (?:and|und|et) )"
    r"(?:hours?|Stunde|heure))\b|(?<![\d.,])\d+[.,]\d\d(?![\d.,])|Kosten|costs?\b|coût|budget",
    re.IGNORECASE,
)


def speaks_of_money(text: str) -> bool:
    """Whether figures "an hour" in a text are money: by a currency, a price or a word for it; else they may count anything."""
    return bool(_COST.search(text) or _PRICED.search(text))


_REQUESTS = re.compile(
    r"\s(?:\w+\s)?(?:requests?|reqs?|queries|calls|chats|mails|e-mails|emails|messages|documents|questions|tickets|jobs|conversations"
    r"|Anfragen|Mails|Nachrichten|Dokumente|Gespräche|requêtes|demandes|appels|courriels)\b",
    re.IGNORECASE,
)
RUNNING = re.compile(
    r"[^,;.]*\b(?:in flight|in progress|at once|at a time|running|active|concurrently|unterwegs|gleichzeitig\w*|parallel\w*"
    r"|zugleich|in Arbeit"
    r"|en cours|en même temps|simultanément)\b",
    re.IGNORECASE,
)
"""Behind "requests": those that are worked on at once, not those that arrive."""
_LABEL = re.compile(r"^(?P<label>[^:|]{3,80}?)\s*(?:[:|]|=)\s*(?:about |~|≈)?$")
_IN_LABEL = re.compile(r"(?:\(|\[|,\s|\bin\s)\s*(?P<unit>[A-Za-zµ%][A-Za-z/%µ ]{0,14}?)\s*(?:\)|\]|$)")
_REQUEST = r"(?:requests?|reqs?|queries|query|calls?|answers?|chats?|Anfragen?|Requests?|Antworten?|Antwort|requêtes?|demandes?|réponses?)"
_MANY = r"(?:(?P<many>a thousand|one thousand|thousand|1,000|1\.000|1 000|1000|1k|tausend|mille|a million|one million|million)\s)?"
_PER_REQUESTS = re.compile(
    rf"\s*(?P<coin>cents?|ct|¢)?\s*(?:USD|EUR|dollars?|euros?|€|\$|£)?\s*(?:per|a|an|each|for each|for every|pro|je|par|/)\s?{_MANY}"
    rf"{_REQUEST}\b(?!\s?(?:/|per|and|in)\s?\w)",
    re.IGNORECASE,
)
_PER_REQUESTS_FIRST = re.compile(
    rf"\b(?:per|each|every|pro|je|par|chaque)\s{_MANY}{_REQUEST}\b[^,;.\d]*$", re.IGNORECASE
)
_COIN = re.compile(r"\s*(?:cents?|ct|¢)\b", re.IGNORECASE)
_MILLION = re.compile(
    r"\b(?:per|pro|par|je|a|1|one|eine[rn]?|die|un|le|les|for a|each)\s(?:1\s)?(?:million|Million"
    r"|Mio\.?|M)\b|/\s?M(?:io|illion)?\b|\b1\s?M\b",
    re.IGNORECASE,
)
_THOUSAND_TOKENS = re.compile(
    r"\b(?:per|pro|par|je|a|1|one)\s(?:thousand|tausend|mille|1,?000|1k)\s(?:\w+\s)?(?:\w*tokens?|tok|jetons?)\b",
    re.IGNORECASE,
)


def with_implied_units(text: str, found: list[Measure]) -> list[Measure]:
    """The figures of a text, those without a unit with the one that the text gives them."""
    periods = {_period(m) for m in _ANYWHERE.finditer(text)}
    given: list[Measure] = []
    for place, one in enumerate(found):
        behind = found[place + 1] if place + 1 < len(found) else None
        if (
            _bare(one)
            and behind is not None
            and behind.dimension == "tokens/s"
            and _TOKENS_AND.fullmatch(text[one.end : behind.start])
        ):
            given.append(one.in_dimension("tokens/s"))
            continue
        rate = _TOKENS_OVER_TIME.match(text[one.end :]) if not one.dimension else None
        if rate:
            given.append(one.in_dimension("tokens/s", 1.0 / PERIODS[rate["period"].lower()][0]))
            continue
        before = given[-1] if given else None
        if (
            before is not None
            and _bare(one)
            and before.dimension in ("tokens/s", "requests/s")
            and _SHARE.match(text[one.end :])
        ):
            given.append(
                _scaled(one, before.dimension, (before.values[0] / before.in_dimension("").values[0],), before.unit)
            )
        else:
            given.append(_with_unit(text, one, periods) if _bare(one) else one)
    return given


_TOKENS_OVER_TIME = re.compile(
    r"\s(?:\w+[\s-])?(?:\w*-?[Tt]okens?|jetons?)(?:\s(?:of output|out|de sortie))?"
    r"(?:\s?/\s?|\s(?:per|an|a|each|every|pro|je|par|in der|à l')\s?)"
    r"(?P<period>minute|hour|h|day|Minute|Stunde|Tag|heure|jour)\b",
    re.IGNORECASE,
)
"""``8.1 million output tokens an hour``: a rate, and no length."""
_TOKENS_AND = re.compile(
    r"\s(?:[\w-]+\s){0,2}?(?:\w*-?[Tt]okens?|jetons?)(?:\s(?:in|of input|of prompts?|d'entrée))?,?\s(?:and|und|et)\s(?:[\w']+\s){0,4}",
    re.IGNORECASE,
)
"""``9,000 prompt tokens and 1,800 output tokens a second``: both are rates."""
_SHARE = re.compile(
    r"\s?(?:(?:per|a|on each|for each|pro|je|par|/)\s?(?:GPU|card|replica|copy|instance|node|server"
    r"|Karte|Replikat|Instanz|Knoten|Server|carte|réplique"
    r"|nœud|serveur)|(?:each|apiece|jeweils|chacune?))\b",
    re.IGNORECASE,
)
"""Behind a figure: a share of the rate before it, ``1,080 tok/s, 90 per card``."""


def _bare(measure: Measure) -> bool:
    return measure.dimension == "" and not measure.unit


def _period(match: re.Match[str]) -> str:
    return _DAILY[match["clock"].lower()] if match["clock"] else (match["period"] or match["label"]).lower()


def _with_unit(text: str, measure: Measure, periods: set[str]) -> Measure:
    before, after = text[: measure.start], text[measure.end :]
    label = _LABEL.match(before) if not re.match(r"\s*\w", after) else None
    if label:
        unit = _label_unit(label["label"])
        if unit:
            dimension, factors = unit_of(unit)
            return _scaled(measure, dimension, factors)
    of_requests = _of_requests(before, after)
    if of_requests is not None and (_COIN.match(after) or _is_money(text, measure) or _PRICED.search(text)):
        return _scaled(measure, "money/request", (of_requests,))
    behind = _BEHIND.match(after)
    if _TOKENS_A_SECOND.match(after):
        return _scaled(measure, "tokens/s", (1.0,), "second")
    if re.match(r"\s?/\s?s(?:ec)?\b", after) or _each_second(before, after):
        counted = _counted(after, first=True) if _each_second(before, after) else _counted(before)
        return _scaled(measure, f"{counted}/s", (1.0,), "second") if counted else measure
    if behind and PERIODS[behind["period"].lower()] == (1.0,) and not _CURRENCY.match(after):
        counted = _counted(before) or _counted(after, first=True)
        return _scaled(measure, f"{counted}/s", (1.0,), behind["period"]) if counted else measure
    if (
        behind
        and not behind["share"]
        and _REQUESTS.search(text)
        and not _COST.search(text)
        and not _CURRENCY.match(after)
    ):
        return _scaled(
            measure, "requests/s", tuple(1.0 / s for s in PERIODS[behind["period"].lower()]), behind["period"]
        )
    if not re.search(r"\d\s*[×x*÷/+]\s*$", before) and _is_money(text, measure):
        if _MILLION.search(text) and not behind:  # "43.20 an hour, 6.00 for a million tokens"
            return _scaled(measure, "money/million", (1.0,))
        if _THOUSAND_TOKENS.search(text):
            return _scaled(measure, "money/million", (1000.0,))
        over = None if behind else _DAYS_BEHIND.match(after)
        if over:
            return _scaled(measure, "money/h", (1.0 / (24.0 * float(over["n"])),))
        named = {behind["period"].lower()} if behind else periods if len(periods) == 1 else _said_before(before)
        if not behind and len(periods) > 1 and not named:
            return measure  # which of the periods it is for does not follow
        hours = [seconds / 3600.0 for name in named for seconds in PERIODS[name]]
        hourly = _HOURS.search(text)
        if hourly and not behind and not named and not _UNIT_PRICE.search(before):
            return _scaled(measure, "money/h", (1.0 / float(hourly["n"]),))
        days = _DAYS.search(text)
        if days and not behind and not named:
            over_all = 1.0 / (24.0 * float(NUMBER_WORDS.get(days["n"].lower(), 0) or days["n"]))
            return _scaled(measure, "money/h", (1.0, over_all) if _UNIT_PRICE.search(before) else (over_all,))
        if hours and not behind and _UNIT_PRICE.search(before):
            hours = [
                1.0,
                *hours,
            ]  # "8 cards at $1.10 cost $211.20 a day": the period is that of the other figure, or of both
        return _scaled(measure, "money/h", tuple(1.0 / h for h in hours) or (1.0,))
    if (
        _REQUESTS.match(after)
        and len(periods) == 1
        and not re.search(r"[×x*÷/+]\s*$", before)
        and not RUNNING.match(after)
    ):
        period = next(iter(periods))
        return _scaled(measure, "requests/s", tuple(1.0 / s for s in PERIODS[period]), period)
    return measure


_TOKENS_A_SECOND = re.compile(
    r"\s(?:\w+\s)?(?:tokens?|jetons?)(?:\s[^\W\d]+){0,3}?\s(?:per|every|each|a|pro|je|jede|par|chaque"
    r"|in the same|in that|in derselben|in dieser|dans la même|dans cette)\s(?:second|Sekunde|seconde)\b",
    re.IGNORECASE,
)
"""``10,800 tokens of prompts every second``: a rate, with what they are of between it and its unit."""
_HOURS = re.compile(r"\b(?P<n>[1-9]\d{1,3})\s(?:hours|Stunden|heures)\b(?!\s(?:a|per|each|pro|par))", re.IGNORECASE)
_DAYS_BEHIND = re.compile(
    r"\s?(?:[€$£]|dollars?|euros?|Dollar|Euro|USD|EUR)?\s?(?:for|over|in|für|pour|sur|en)\s(?:the\s|die\s|les\s)?(?P<n>[1-9]\d{0,2})\s"
    r"(?:days|Tage|Tagen|jours)\b",
    re.IGNORECASE,
)
"""``4,608 dollars for 30 days``: the period right behind a sum is its own, whichever another figure has."""
_DAYS = re.compile(
    rf"\b(?P<n>\d{{1,3}}|{'|'.join(w for w in NUMBER_WORDS if w.isalpha())})\s(?:days|Tagen?|jours)\b", re.IGNORECASE
)
_UNIT_PRICE = re.compile(r"(?:\b(?:at|for|zu|zu je|à|für|pour)|[×x*@])\s*(?:USD|EUR|€|\$|£)?\s*$", re.IGNORECASE)


def _of_requests(before: str, after: str) -> float | None:
    """The factor to money per request of a figure that is said per request, per thousand of them, or in cents; else None."""
    found, coin = _PER_REQUESTS.match(after), _COIN.match(after)
    if found is None:
        found = _PER_REQUESTS_FIRST.search(before)
        counts = re.match(r"\s*[^\W\d]", after[coin.end() :] if coin else after)
        if found is None or counts or not (coin or _CURRENCY.match(after) or _CURRENCY_BEFORE.search(before)):
            return None
    many = (found["many"] or "").lower()
    count = 1e6 if "million" in many else 1e3 if many else 1.0
    return (0.01 if coin else 1.0) / count


def _said_before(before: str) -> set[str]:
    """The period that the clause of a figure names before it: ``an hour costs 8, a day 192``."""
    clause = re.split(r"[,;]\s", before)[-1]
    found = list(_ANYWHERE.finditer(clause)) or list(_PERIOD_NAMED.finditer(clause))
    return {_period(found[-1]) if found[-1].re is _ANYWHERE else found[-1]["period"].lower()} if found else set()


_PERIOD_NAMED = re.compile(
    r"\b(?P<period>hour|day|week|month|year|Stunde|Tag|Woche|Monat|Jahr|heure|jour|semaine|mois)\b", re.IGNORECASE
)
_FRONT = re.compile(
    r"\b(?:per|each|every|a|pro|je|jede|par|chaque)\s(?:second|Sekunde|seconde)\b[^,;.\d]*$", re.IGNORECASE
)


def _each_second(before: str, after: str) -> bool:
    """``Pro Sekunde entstehen 5.600 Token``: the period first, the figure behind it with what it counts."""
    return bool(_FRONT.search(before)) and bool(
        re.match(r"\s(?:\w+\s)?(?:\w*-?[Tt]okens?|jetons?|\w*-?[Rr]equests?|\w*[Aa]nfragen|requêtes?)\b", after)
    )


_COUNTED = re.compile(
    r"\b(?:(?P<token>\w*-?tokens?|jetons?)|(?P<request>\w*-?requests?|queries|calls|\w*anfragen?|requêtes?))\b",
    re.IGNORECASE,
)


def _counted(text: str, *, first: bool = False) -> str:
    """What ``2 per second`` counts, by the nearest word for it: "tokens", "requests" or ""."""
    found = list(_COUNTED.finditer(text))
    if not found:
        return ""
    return "tokens" if (found[0] if first else found[-1])["token"] else "requests"


def _label_unit(label: str) -> str | None:
    """The unit that a label names: in brackets, behind "in", or as a rate of its own ("requests per day")."""
    inside = _IN_LABEL.search(label)
    if inside and units_in(inside["unit"]) == [inside["unit"].strip()]:
        return inside["unit"].strip()
    if re.search(r"\d", label):
        return None
    rates = [unit for unit in units_in(label) if unit_of(unit)[0] in ("requests/s", "tokens/s")]
    return rates[0] if len(rates) == 1 else None


def _is_money(text: str, measure: Measure) -> bool:
    before, after = text[: measure.start], text[measure.end :]
    if _CURRENCY.match(after) or _CURRENCY_BEFORE.search(before):
        return True
    if _MILLION.search(text) and _LABEL.match(before) and not re.match(r"\s*\w", after):
        return True
    if re.match(
        r"\s(?:for|per|pro|je|par)\s(?:a\s|one\s|1\s)?(?:million|thousand|tausend|mille|Million)\s(?:\w+\s)?(?:\w*tokens?|jetons?)\b",
        after,
    ):
        return True
    if re.search(
        r"\b(?:million|Million)\s(?:\w+\s)?(?:\w*-?[Tt]okens?|jetons?)\b[^.;]*\b(?:costs?|is (?:then )?worth|kostet|coûte)\b",
        before,
    ):
        return True
    if re.match(r"\s*[×x*]\s*\d", after):
        return False  # "4 × 0.70 = 2.80 an hour": how many of them
    if measure.word or re.match(r"\s*(?:GPUs?|cards?|hours?|tokens?|requests?|%)\b", after):
        return False
    if _BEHIND.match(after):
        return True
    return (bool(_COST.search(text)) and not re.match(r"[\s-]*[^\W\d]", after)) or (
        bool(_COST.search(text)) and bool(re.match(r"\s(?:in|for|for the|per|pro|par|je|pour|für)\b", after))
    )


def _scaled(measure: Measure, dimension: str, factors: tuple[float, ...], period: str = "") -> Measure:
    step = 0.5 * 10.0 ** -(
        len(measure.number.replace(",", ".").rsplit(".", 1)[1]) if re.search(r"[.,]\d{1,2}$", measure.number) else 0
    )
    pairs = [(value * f, step * f) for value in measure.values for f in factors]
    return replace(
        measure, dimension=dimension, unit=measure.unit or f"{dimension} {period}".strip(), values=tuple(v for v, _ in pairs),
        steps=tuple(s for _, s in pairs), high=measure.high * factors[0],
    )  # fmt: skip
