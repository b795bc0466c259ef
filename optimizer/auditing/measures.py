"""Figures in running text: number, unit, and the intervals that rounding leaves, in the formats of three languages.

A figure may be read in more than one way (``4.096`` is 4,096 in German and 4.096 in English; GB may be 10⁹ or 2³⁰ bytes), so
a ``Measure`` has several readings, each an interval in base units: bytes, bytes/s, ms, FLOP/s, tokens/s, requests/s, %, and
plain counts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from optimizer.auditing.number_words import NUMBER_WORD, NUMBER_WORDS

MOST_ROUNDING = 0.35
"""Relative: ``1 GiB`` does not stand for half of it, although it rounds to it."""

_SPACE = r"[ \u00a0\u2009\u202f]"
_NUMBER = (
    rf"\d{{1,3}}(?:,\d{{3}})+(?!\d)(?:\.\d+)?|\d{{1,3}}(?:\.\d{{3}})+(?!\d)(?:,\d+)?|\d{{1,3}}(?:['’]\d{{3}})+(?!\d)(?:[.,]\d+)?"
    rf"|\d{{1,3}}(?:{_SPACE}\d{{3}})+(?![\d])(?:,\d+)?|\d+(?:[.,]\d+)?(?:[eE][+-]?\d{{1,2}})?"
)
_PER_SECOND = (
    r"(?:\s?/\s?s(?:ec(?:ond)?s?)?\b|\s(?:per|each|every|a)\s+second\b|\s(?:pro|je)\s+Sekunde\b|\spar\s+seconde\b)"
)
_SIZE = r"(?:[KMGTPkmgt]i?B(?:ytes?)?|(?:[KMGTP]i?|[kmgt]i|k)o(?:ctets?)?|[mgt]octets?)(?![A-Za-z])"
_SPELLED = r"(?:kibi|mebi|gibi|tebi|kilo|mega|giga|tera)(?:bytes?|octets?|bits?)"
_CALLS = (
    r"(?:requests?|reqs?|req|queries|query|prompts|calls|chats|mails|e-mails|emails|messages|documents|questions|tickets"
    r"|jobs|conversations|Anfragen?|Requests?|Fragen|Mails|Nachrichten|Dokumente|Gespräche|Aufrufe|requêtes?|demandes?"
    r"|appels|courriels|dossiers)"
)
"""What a service is asked for: requests by the names that its users have for them."""
_UNIT = (
    rf"(?:(?:{_SIZE}|{_SPELLED}|[Bb]ytes?|[Oo]ctets?|[KMGTkmgt]b(?:it)?s?(?![A-Za-z])|[KMGTkmgt]Bit|B(?![A-Za-z])){_PER_SECOND}"
    rf"|[KMGT]i?Bps\b|[KMGT]b(?:it)?ps\b|[KMGT]b[Ee]?\b(?=\s?(?:/s|per)|\s)|GbE\b|GBit\b"
    rf"|(?:dense |sparse )?(?:[TGPE]FLOPS?|[TGPE]FLOPs|[Tt]era-?[Ff][Ll][Oo][Pp]s?"
    rf"|[Pp]eta-?[Ff][Ll][Oo][Pp]s?)(?:{_PER_SECOND})?(?![A-Za-z])"
    rf"|(?:output |generated |decode |decoded |prompt |input |new |Ausgabe)?-?(?:[Tt]okens?|tok|jetons?"
    rf"|Ausgabetoken|Prompttoken|Eingabetoken)(?: de sortie| d'entrée)?{_PER_SECOND}"
    rf"|{_CALLS}(?:\s?/\s?|\s(?:(?:per|an|a|each|every|pro|je|par|am|in an|in a|over a|in one|in der|en une"
    rf"|en un|à l'|im)\s?))(?:hour|h|minute|min|day|month|Stunde|Minute|Tag|Monat|heure|jour|mois)\b"
    rf"|tps\b|{_CALLS}{_PER_SECOND}|RPS\b|rps\b|QPS\b|qps\b"
    rf"|{_SIZE}|{_SPELLED}|[Bb]ytes?\b|[Oo]ctets?\b"
    rf"|milliseconds?\b|[Mm]illisekunden?\b|millisecondes?\b|ms\b|msec\b|microseconds?\b|Mikrosekunden\b|microsecondes?\b|[µμu]s\b|ns\b"
    rf"|seconds?\b|secs?\b|Sekunden?\b|secondes?\b|s\b|minutes?\b|Minuten?\b|min\b|hours?\b|Stunden?\b|heures?\b"
    rf"|h\b|days?\b|Tagen?\b|Tage?\b|jours?\b"
    rf"|[kMm]?Wh\b|(?:kilo|mega)?watt-?hours?\b|(?:Kilo|Mega)?[Ww]attstunden?\b|(?:kilo|méga)?watt-?heures?\b"
    rf"|(?:[km]W|kilo-?[Ww]att|[Ww]att|Watts?|watts?|W)\b(?!h)"
    rf"|%|percent\b|per cent\b|Prozent\b|pour cent\b|p\.\s?c\."
    rf"|billions?\b|bn\b|B\b|millions?\b|trillions?\b|thousand\b|[Mm]illiarden?\b|Mrd\.?|Millionen?\b"
    rf"|Mio\.(?=\s)|milliards?\b|Md\b|tausend\b|[MKkT](?![^\W_]))"
)
_MEASURE = re.compile(
    rf"(?<![\w.,/])(?P<number>{_NUMBER})(?:{_SPACE}?(?:-|–|to|bis"
    rf"|à)\s?(?P<high>{_NUMBER})(?![\w-]))?(?:[\s\u00a0\u202f-]?(?P<unit>{_UNIT}))?",
)
_SPOKEN = re.compile(
    rf"(?<![\w-])(?P<word>{NUMBER_WORD})(?![\w])(?:[\s-](?P<unit>{_UNIT}))?",
    re.IGNORECASE,
)
_ONE_UNIT = re.compile(
    rf"\b(?P<half>half an?|eine?[mnr]? halbe[nrs]?|une? demie?)?(?(half)[\s-]|(?:an?|eine?[mns]?|une?)\s)"
    rf"(?P<unit>(?:{_SPELLED})\b|{_CALLS}{_PER_SECOND})",
    re.IGNORECASE,
)
"""``a terabyte``, ``half a terabyte``: a unit that an article counts."""
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5, "e": 6}
_NAMED = {"kibi": "ki", "mebi": "mi", "gibi": "gi", "tebi": "ti", "kilo": "k", "mega": "m", "giga": "g", "tera": "t"}
_TIMES = (
    (r"milliseconds?|millisekunden?|millisecondes?|ms|msec", 1.0),
    (r"microseconds?|mikrosekunden|microsecondes?|[µμu]s", 1e-3),
    (r"ns", 1e-6),
    (r"seconds?|secs?|sekunden?|secondes?|s", 1e3),
    (r"minutes?|minuten?|min", 6e4),
    (r"hours?|stunden?|heures?|h", 3.6e6),
    (r"days?|tagen?|tage?|jours?", 8.64e7),
)
_MONTHS = (720 * 3600.0, 730 * 3600.0, 744 * 3600.0)
PERIODS: dict[str, tuple[float, ...]] = {
    **dict.fromkeys(("hour", "hours", "h", "stunde", "stunden", "heure"), (3600.0,)),
    **dict.fromkeys(("second", "sekunde", "seconde"), (1.0,)),
    **dict.fromkeys(("minute", "min"), (60.0,)),
    **dict.fromkeys(("day", "days", "tag", "jour", "clock"), (86400.0,)),
    **dict.fromkeys(("week", "woche", "semaine"), (604800.0,)),
    **dict.fromkeys(("month", "monat", "mois"), _MONTHS),
    **dict.fromkeys(("year", "jahr", "an", "année"), (31_536_000.0, 31_557_600.0, 31_104_000.0)),
}  # fmt: skip
"""Seconds of a period in the ways that people count it: a month has 720, 730 or 744 hours."""
_MULTIPLIERS = (
    (r"billions?|bn|b|milliarden?|mrd\.?|milliards?|md", 1e9),
    (r"millions?|millionen?|mio\.|m", 1e6),
    (r"trillions?|t", 1e12),
    (r"thousand|tausend|k", 1e3),
)


@dataclass(frozen=True, slots=True)
class Measure:
    """A figure of the text.

    Args:
        values: what it may say in base units, the likeliest first.
        steps: half of the last digit for each of them.
        dimension: of the base unit, "" for a count.
        word: it is written as a word.
        high: the end of a range, in the first reading; else the value.
    """

    start: int
    end: int
    text: str
    number: str
    unit: str
    dimension: str
    values: tuple[float, ...]
    steps: tuple[float, ...]
    high: float
    word: bool = False
    hedged: bool = False

    @property
    def bounds_power(self) -> bool:
        """Whether "at most" before it makes it a bound: whole kilowatts are, while 11.2 kW say what there is."""
        return self.dimension == "W" and self.value % 1000 == 0

    @property
    def value(self) -> float:
        """The likeliest reading."""
        return self.values[0]

    @property
    def exact(self) -> bool:
        """A count written out to its last digit."""
        return self.dimension == "" and not self.unit and not self.hedged and self.high == self.value

    def says(self, expected: float, relative: float = 0.0) -> bool:
        """Whether some reading rounds (or is cut off) to ``expected``, or is within a relative tolerance of it."""
        relative = max(relative, 0.07 if self.hedged else 0.0)
        for value, step in zip(self.values, self.steps, strict=True):
            step = min(step, MOST_ROUNDING * abs(value))
            slack = max(step * 1.002, relative * abs(expected)) + 1e-9 * abs(expected)
            most = max(value, self.high) if value == self.value else value
            if (
                value - slack
                <= expected
                <= most + max(slack, 1.9 * step if step < 0.5 * abs(value) and "." in self.number else 0)
            ):
                return True
        return False

    def near(self, expected: float, relative: float) -> bool:
        """``says`` for one expected value with tolerance, whatever the digits."""
        return any(abs(value - expected) <= relative * abs(expected) for value in self.values)

    def in_dimension(self, dimension: str, factor: float = 1.0) -> Measure:
        """The same figure with a unit that it only implies."""
        scale = tuple(value * factor for value in self.values)
        return replace(
            self,
            dimension=dimension,
            values=scale,
            steps=tuple(s * factor for s in self.steps),
            high=self.high * factor,
        )


def measures(text: str, language: str = "en") -> list[Measure]:
    """Every figure of a text from left to right; number words too."""
    found = [_written(match, language) for match in _MEASURE.finditer(text) if not _is_name(text, match)]
    taken = [(one.start, one.end) for one in found]
    for match in _SPOKEN.finditer(text):
        if any(start < match.end() and match.start() < end for start, end in taken):
            continue
        if language == "fr" and match["word"].lower() in ("six", "dix", "cent") and not match["word"].islower():
            continue
        value = float(NUMBER_WORDS[match["word"].lower()])
        if value == 1 and not match["unit"]:
            continue  # an article, not a count
        dimension, factors = unit_of(match["unit"] or "")
        found.append(
            Measure(
                match.start(), match.end(), match.group(), match["word"], (match["unit"] or "").strip(), dimension,
                tuple(value * f for f in factors), tuple(0.5 * f if match["unit"] else 0.0 for f in factors),
                value * factors[0], word=True,
            )
        )  # fmt: skip
    taken += [(one.start, one.end) for one in found]
    for match in _ONE_UNIT.finditer(text):
        if not any(start < match.end() and match.start() < end for start, end in taken):
            dimension, factors = unit_of(match["unit"])
            values = tuple(factor * (0.5 if match["half"] else 1.0) for factor in factors)
            steps = tuple(0.06 * value for value in values)
            found.append(
                Measure(
                    match.start(), match.end(), match.group(), match.group(), match["unit"], dimension, values, steps,
                    values[0], word=True,
                )
            )  # fmt: skip
    return sorted(found, key=lambda one: one.start)


def _is_name(text: str, match: re.Match[str]) -> bool:
    """Whether digits are no figure: a deviation, or part of a name: ``Llama-3``, ``Gen 5``, ``section 4``, a date."""
    before = text[max(0, match.start() - 24) : match.start()]
    if before.rstrip().endswith("±"):
        return True
    after = text[match.end() : match.end() + 12]
    if re.match(r"(?:th|st|nd|rd|e|ème|\.)\s?-?(?:[Pp]er[cz]|centile)", after):
        return True
    if re.search(r"[A-Za-z]-$", before) and not re.search(
        r"(?:^|\s)(?:is|of|to|the|auf|mit|de)-$", before, re.IGNORECASE
    ):
        return not match["unit"] or bool(re.match(r"-?[A-Za-z]", after))
    if (
        re.search(
            r"(?:\b(?:Gen|CUDA|NVLink|PCIe|HBM|DDR|version|v|section|sections|chapter|appendix|table|figure|step|phase|"
            r"Abschnitt|Kapitel|Tabelle|Abbildung|Version|annexe|tableau|chapitre|étape|port|page|Seite|ticket|issue|#"
            r"|TOP|Llama|Qwen|Phi|GPT|Gemma|GLM|Kimi|stage|GPU|node|rank|layer|Stufe|replica)\s?)$",
            before,
            re.IGNORECASE,
        )
        and not match["unit"]
    ):
        return not re.search(r"\b(?:per|each|every|je|pro|jede[rsnm]?|par|chaque)\s+\w+\s?$", before, re.IGNORECASE)
    if re.search(
        r"\b(?:January|February|March|April|May|June|July|August|September|October|November|December|Januar|Februar"
        r"|März|Mai|Juni|Juli|Oktober|Dezember|janvier|février|mars|avril|mai|juin|juillet|août|septembre|octobre"
        r"|novembre|décembre)\s?$",
        before,
    ):
        return True
    if re.match(
        r"\.?\s(?:January|February|March|April|May|June|July|August|September|October|November|December|Januar"
        r"|Februar|März|Mai|Juni|Juli|Oktober|Dezember|janvier|février|mars|avril|mai|juin|juillet|août|septembre"
        r"|octobre|novembre|décembre)\b",
        after,
    ):
        return True
    number = match["number"]
    if re.fullmatch(r"(?:19|20)\d\d", number) and not match["unit"]:
        return bool(re.search(r"(?:\b(?:in|since|until|seit|bis|en|depuis|by)\s|[-./]|^)$", before)) or bool(
            re.match(r"-\d\d", after)
        )
    return bool(
        re.match(r"[-/]\d{1,2}[-/]\d", after)
        or re.match(r"\.\d+\.\d", after)
        or re.match(r"\.\d{2}\.\d{4}|\.\d{4}", after)
    )


def _written(match: re.Match[str], language: str) -> Measure:
    numbers = _numbers(match["number"], language)
    unit = (match["unit"] or "").strip(" -\u00a0\u202f")
    if unit == "B" and numbers[0][0] >= 2000:
        unit = "bytes"  # "516,096 B": nobody counts billions by the thousand
    dimension, factors = unit_of(unit)
    values: list[float] = []
    steps: list[float] = []
    for number, digits in numbers:
        for factor in factors:
            values.append(number * factor)
            bare = not unit and digits == 0
            steps.append(0.0 if bare else 0.5 * 10.0**-digits * factor)
    high = _numbers(match["high"], language)[0][0] * factors[0] if match["high"] else values[0]
    if high < values[0]:
        high = values[0]
    return Measure(
        match.start(),
        match.end(),
        match.group().strip(),
        match["number"],
        unit,
        dimension,
        tuple(values),
        tuple(steps),
        high,
    )


def _numbers(written: str, language: str) -> list[tuple[float, int]]:
    """(value, digits after the point) of a written number in every reading of its separators."""
    bare = re.sub(r"[\s\u00a0\u2009\u202f'’]", "", written)
    english = german = None
    if re.fullmatch(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?", bare) or not ("," in bare or bare.count(".") > 1):
        english = bare.replace(",", "")
    if re.fullmatch(r"\d{1,3}(?:\.\d{3})+(?:,\d+)?", bare):
        german = bare.replace(".", "").replace(",", ".")
    elif re.fullmatch(r"\d+,\d+", bare):
        german = bare.replace(",", ".")
    thousands = re.fullmatch(
        r"[1-9]\d{0,2}\.\d{3}", bare
    )  # "8.192": either, where a line has no words that tell its language
    order = (
        (german, english) if language in ("de", "fr") else (english, german if english is None or thousands else None)
    )
    found = [one for one in order if one is not None] or [bare.replace(",", "")]
    result = []
    for text in dict.fromkeys(found):
        mantissa = re.split(r"[eE]", text)[0]
        result.append((float(text), len(mantissa.split(".")[1]) if "." in mantissa else 0))
    return result


_UNIT_ALONE = re.compile(rf"(?<![\w]){_UNIT}")


def units_in(text: str) -> list[str]:
    """Units that a text names without figures, e.g. in the label of a table."""
    return [match.group().strip() for match in _UNIT_ALONE.finditer(text)]


def unit_of(unit: str) -> tuple[str, tuple[float, ...]]:
    """(dimension, factors to base units, the likeliest first)."""
    compact = re.sub(r"[\s-]+", "", unit)
    if not compact:
        return "", (1.0,)
    rate = re.search(_PER_SECOND + "$", " " + unit) or re.search(r"ps$", compact)
    low = compact.lower()
    for spelled, short in _NAMED.items():
        low = re.sub(rf"^{spelled}(?=byte|octet|bit)", short, low)
    if re.search(r"flop", low):
        power = (
            15.0
            if low.startswith("p") or "peta" in low
            else 9.0
            if low.startswith("g")
            else 18.0
            if low[0] == "e"
            else 12.0
        )
        return "FLOP/s", (10.0**power,)
    if re.search(r"tok|jeton|^tps", low):
        return "tokens/s", (1.0,)
    if re.match(_CALLS.lower() + r"|rps|qps", low):
        per = re.search(r"(?<=[^a-z])(hour|h|minute|min|day|month|stunde|tag|monat|heure|jour|mois)$", unit.lower())
        return "requests/s", tuple(1.0 / one for one in PERIODS[per[1]]) if per else (1.0,)
    if re.match(r"^[KMGTkmgt](?:b(?:it)?s?|Bit|bE)(?![A-Za-z]*yte)", compact) and not re.match(
        r"^[KMGTkmgt]B(?!it)", compact
    ):
        return "bytes/s", (1000.0 ** _POWERS[compact[0].lower()] / 8,)
    size = re.match(r"([kmgtp]?)(i?)(?:b(?:ytes?)?|o(?:ctets?)?)(?![a-z]*it)", low)
    if (
        size
        and (size[1] or re.match(r"bytes?|octets?|b(?=/|per|pro|par|a)", low))
        and not re.match(r"^(?:billions?|bn)", low)
    ):
        power = _POWERS[size[1]]
        decimal, binary = 1000.0**power, 1024.0**power
        factors = (binary,) if size[2] else (decimal, binary) if power else (1.0,)
        return ("bytes/s", factors[:1]) if rate else ("bytes", factors)
    hours = re.fullmatch(r"([km]?)wh|(kilo|mega|méga)?watt(?:hours?|stunden?|heures?)", low)
    if hours:
        return "Wh", (1e3 if hours[1] == "k" or hours[2] == "kilo" else 1e6 if hours[1] or hours[2] else 1.0,)
    if re.fullmatch(r"[km]?w|(?:kilo)?watts?", low):
        return "W", (1e3 if low[0] == "k" else 1e6 if low[0] == "m" else 1.0,)
    if re.fullmatch(r"%|percent|prozent|pourcent|p\.?c\.?", low):
        return "%", (1.0,)
    for pattern, factor in _TIMES:
        if re.fullmatch(pattern, low):
            return "ms", (factor,)
    for pattern, factor in _MULTIPLIERS:
        if re.fullmatch(pattern, low):
            return "", (factor,) if factor != 1e3 else (1e3, 1024.0)
    return "", (1.0,)


def shown(value: float, dimension: str) -> str:
    """A value in the unit that people write for its size."""
    if dimension == "bytes":
        if abs(value) >= 1e8:
            return f"{value / 1e9:,.4g} GB" if abs(value) < 1e13 else f"{value / 1e12:,.4g} TB"
        if abs(value) >= 1e6:
            return f"{value / 2**20:,.4g} MiB"
        return f"{value / 1024:,.4g} KiB" if abs(value) >= 1024 else f"{value:,.4g} bytes"
    if dimension == "bytes/s":
        return f"{value / 1e12:,.4g} TB/s" if abs(value) >= 1e12 else f"{value / 1e9:,.4g} GB/s"
    if dimension == "FLOP/s":
        return f"{value / 1e12:,.4g} TFLOP/s"
    if dimension == "%":
        return f"{value:.3g}%"
    if dimension == "money/request":
        return f"{value * 1000:,.4g} per thousand requests"
    if dimension.startswith("money"):
        return f"{value:,.2f} {'an hour' if dimension == 'money/h' else 'per million tokens'}"
    if dimension == "":
        if abs(value) >= 1e9:
            return f"{value / 1e9:,.4g} billion"
        return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.4g}"
    number = f"{value:,.0f}" if abs(value) >= 1000 or float(value).is_integer() else f"{value:,.4g}"
    return f"{number} {dimension}"
