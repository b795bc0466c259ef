"""A statement as sentences and clauses: figures, terms, names and moods in their places.

Clauses are what a figure's quantity and its "per" are looked for in: they end where another figure of its own begins, so
that ``5 GiB of cache, 640 MiB on each GPU`` is two.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cached_property

from optimizer.auditing.implied_units import with_implied_units
from optimizer.auditing.lexicon import Lexicon, Term
from optimizer.auditing.measures import Measure, measures, units_in
from optimizer.auditing.names import Named, gpus_named, models_named
from optimizer.auditing.number_words import NUMBER_WORD
from optimizer.auditing.portions import portions
from optimizer.auditing.reading import Statement
from optimizer.auditing.strategies import SMALL, Mention, digits, mentions

_END = re.compile(r"(?<=[.!?;])\s+(?!(?:P|p)\d\d\b|(?:Perzentil|Prozent)\b)(?=[\"'(]?[A-ZÄÖÜÉÈÀÇ0-9])")
_SHORTENED = re.compile(
    r"(?:\b(?:e\.g|i\.e|z\. ?B|d\. ?h|ca|approx|vs|Mrd|Mio|bzw|resp|ex|No|Nr|Fig|incl|inkl|ggf|max|min|u\. ?a|c\.-à-d)\.)$",
    re.IGNORECASE,
)
_BREAK = re.compile(
    r"[,;]\s+|\s+[–—-]\s+|\s*(?:→|->|⇒|=>)\s*|\s(?:and|but|while|whereas|so|which|hence|therefore|und|aber|sodass|also|et"
    r"|mais|donc|soit|or|plus)\s+",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Sentence:
    """One sentence; positions are those of ``text``."""

    statement: Statement
    text: str
    language: str
    measures: tuple[Measure, ...]
    terms: tuple[Term, ...]
    gpus: tuple[Named, ...]
    models: tuple[Named, ...]
    strategies: tuple[tuple[int, int, Mention], ...]
    firm: bool = True
    """False for cells whose column does not say what they are: they may be confirmed and not refuted."""
    column: int = 0
    """Of a table cell, counted from 0; else 0."""

    @cached_property
    def clauses(self) -> tuple[tuple[int, int], ...]:
        """Spans with at least one figure each, brackets with figures apart."""
        spans: list[tuple[int, int]] = []
        holes = [
            (m.start(), m.end())
            for m in re.finditer(r"\([^()]*\)", self.text)
            if any(m.start() < one.start < m.end() for one in self.measures)
        ]
        start = 0
        for mark in _BREAK.finditer(self.text):
            if any(a <= mark.start() < b for a, b in holes):
                continue
            if (
                mark.group().strip().lower() in ("", "-", "–", "—")
                and re.search(r"\d\s*$", self.text[: mark.start()])
                and re.match(r"\s*\d", self.text[mark.end() - 1 :])
            ):
                continue
            left = any(start <= m.start < mark.start() and not self._inside(m.start, holes) for m in self.measures)
            if left and any(m.start >= mark.end() for m in self.measures):
                spans.append((start, mark.start()))
                start = mark.end()
        spans.append((start, len(self.text)))
        return (*spans, *holes)

    @staticmethod
    def _inside(place: int, holes: list[tuple[int, int]]) -> bool:
        return any(a <= place < b for a, b in holes)

    def clause(self, place: int) -> tuple[int, int]:
        """The narrowest clause around a place."""
        around = [span for span in self.clauses if span[0] <= place < max(span[1], span[0] + 1)]
        return min(around, key=lambda span: span[1] - span[0]) if around else (0, len(self.text))

    def terms_in(self, start: int, end: int, kind: str | None = None) -> list[Term]:
        """Terms of a span."""
        return [t for t in self.terms if start <= t.start and t.end <= end and (kind is None or t.id(kind))]

    def denied_bound(self, measure: Measure) -> str | None:
        """``≤`` for "not … more than 300 MiB", ``≥`` for "not … less than", right before a figure; else None."""
        found = _NOT_MORE.search(self.text[: measure.start])
        return None if found is None else "≤" if found["more"] else "≥"

    def denies(self, measure: Measure) -> bool:
        """Whether a negation may change what a figure says: not one that makes a bound of it, and not one of another clause."""
        if self.denied_bound(measure) or not self.has("negation"):
            return False
        starts = [m.end() for m in _THEREFORE.finditer(self.text) if m.end() <= measure.start]
        ends = [m.start() for m in _THEREFORE.finditer(self.text) if m.start() >= measure.end]
        start, end = starts[-1] if starts else 0, ends[0] if ends else len(self.text)
        part = [m for m in _COMMA.finditer(self.text) if start <= m.start() < end]
        before = [m.end() for m in part if m.end() <= measure.start]
        behind = [m.start() for m in part if m.start() >= measure.end]
        own = (before[-1] if before else start, behind[0] if behind else end)
        if self.terms_in(*own, "quantity") and not (before and _CLAUSE_OF.match(self.text[own[0] :])):
            start, end = own
        return self.has("negation", start, end)

    def has(self, kind: str, start: int = 0, end: int | None = None) -> bool:
        """Whether a span has a term of a kind."""
        return bool(self.terms_in(start, len(self.text) if end is None else end, kind))


def sentences_of(
    statement: Statement, lexicon: Lexicon, language: str, variants: frozenset[int] = frozenset()
) -> list[Sentence]:
    """The sentences of a statement; a table row gives one for every cell that a heading names.

    Args:
        variants: columns whose headings only name the variant that their figures are of.
    """
    if statement.kind == "row":
        return _cells(statement, lexicon, language, variants)
    return [_sentence(statement, text, lexicon, language) for text in _split(statement.text)]


def parts_of(statement: Statement) -> list[Statement]:
    """A line of prose as one statement for every sentence; anything else as it is."""
    parts = _split(statement.text) if statement.kind == "text" else []
    return [replace(statement, text=part) for part in parts] if len(parts) > 1 else [statement]


LONGEST_ANSWER = 90
"""Characters of an answer that is read together with its question."""


def _split(text: str) -> list[str]:
    parts: list[str] = []
    start = 0
    for mark in _END.finditer(text):
        if _SHORTENED.search(text[start : mark.start()]):
            continue
        if (
            text[mark.start() - 1] == "?"
            and len(re.split(r"[.!?]\s", text[mark.end() :], maxsplit=1)[0]) <= LONGEST_ANSWER
        ):
            continue  # "And on one GPU? Half of that, 12.2 GB.": what is asked for is said in the question alone
        parts.append(text[start : mark.start()])
        start = mark.end()
    return [*parts, text[start:]]


_PLAIN_HEADER = re.compile(
    r"^(?:(?:quantity|quantities|figures?|values?|number|amount)\s?[/,&]\s?(?:quantity|figures?|values?|number|amount|size)"
    r"|quantity|specification|"
    r"|value|values|figure|amount|number|count|wert|werte|zahl|anzahl|menge|größe|valeur|valeurs|chiffre"
    r"|nombre|quantité|result|ergebnis|résultat"
    r"|calculation|rechnung|calcul|size|setting|per replica|total|here|ours|this setup|spec|fact)$",
    re.IGNORECASE,
)


_CARD = r"\b(?:[ABHL]\d{1,3}S?|MI\d{3}X?|RTX (?:PRO )?\w?\d{4}|GB\d00)s?"
_CARD_COUNT = re.compile(
    _CARD + r"(?=\s(?:in total|total|altogether|overall|per|each|je"
    r"|pro|par|insgesamt|zusammen|au total|in all)\b|$)"
)
"""``H100 per node: 8`` counts GPUs."""
_CARDS_COUNTED = re.compile(
    rf"(?:^|(?<=, )){_CARD}(?=\s(?:in total|total|overall|in all|per node|per server|je Knoten|je Server"
    r"|par nœud)\s?[:=]?\s?\d)"
)
"""``L4 per node 2, L4 total 8``: the same in a line of short labels."""
_SCOPE_HEADER = re.compile(
    r"^(?P<per>(?:per|each|je|pro|par|one|a)\s)?(?:the\s)?(?:(?:GPU|card|accelerator|node|server|box|host|machine|replica|instance|stage|Karte|Knoten|Rechner"
    r"|Server|Replikat|carte|nœud"
    r"|serveur|réplique)|(?P<all>(?:whole |entire |gesamtes? |gesamter? |tout le )?(?:cluster|fleet"
    r"|system|installation|deployment|set-?up|total|all|together|overall"
    r"|insgesamt|gesamt|zusammen|ensemble|alle|all \d+|alle \d+)(?: \d*\s?(?:GPUs?|cards|Karten"
    r"|cartes))?))(?:\s?\([×x]?\s?\d+(?:\s\w+)?\))?$",
    re.IGNORECASE,
)
"""A column that says what its figures are per."""
_ASIDE = re.compile(
    r"\b(?:source|note|remark|comment|how(?! (?:many|much|big|large|long|fast))|why|reference|explanation|where"
    r"|quelle|anmerkung|bemerkung|kommentar|remarque|commentaire)s?\b",
    re.IGNORECASE,
)


_COUNTED_CELL = re.compile(
    rf"\W*(?:(?:{NUMBER_WORD}|all|both|none|half|an?|alle|beide|keine?|die Hälfte|tou(?:te)?s|les deux|aucune?"
    rf"|la moitié)\b)(?:\s\S+){{0,6}}$",
    re.IGNORECASE,
)
"""A cell that gives a count or a share in words: ``one replica of two``, ``half of the capacity``."""
_UNIT_OF_TITLE = re.compile(r"(?P<name>[^()]+?)\s(?P<unit>[(\[][^()\d]+[)\]])")
_TITLE_PAIR = re.compile(r"(?P<name>[^()]+?)\s\((?P<other>[^()\d]{3,})\)\s*")
_CELL_PAIR = re.compile(r"\s*(?P<first>[\d.,]+)\s\((?P<second>[\d.,]+)\)\s*")


_VALUE = re.compile(r"\W{0,3}\d[\d.,]*(?:\s?/\s?\d[\d.,]*)?(?:\s?[^\d\s,;:]{1,12}){0,3}")
"""A figure, or two beside each other, with a unit: no sentence."""


def _only_figure(statement: Statement, place: int, lexicon: Lexicon) -> bool:
    """Whether a cell is the row's value: the first behind the title, the only one that is a figure, under a heading that names nothing."""
    header = statement.header[place] if place < len(statement.header) else ""
    others = [cell for other, cell in enumerate(statement.cells) if other not in (0, place)]
    if place != 1 or not _VALUE.fullmatch(statement.cells[1]) or any(re.search(r"\d", cell) for cell in others):
        return False
    return not (lexicon.terms(header, []) or gpus_named(header) or models_named(header) or list(mentions(header)))


def _pair_of(title: str, cell: str) -> tuple[str, str] | None:
    """``Experts (active) | 8 (2)``: the figure in brackets is of what the title has in brackets, unless that is a unit."""
    names, figures = _TITLE_PAIR.fullmatch(title), _CELL_PAIR.fullmatch(cell)
    if names is None or figures is None or units_in(names["other"]):
        return None
    return f"{names['name']}: {figures['first']}", f"{names['other']} {names['name']}: {figures['second']}"


_TWO_NUMBERS = re.compile(r"\s*(?P<first>\d[\d.,]*)\s?[/|:]\s?(?P<second>\d[\d.,]*)\s*")


def _slashed(title: str, cell: str) -> tuple[str, ...]:
    """``Heads: query / key-value | 96 / 8``: the parts of the title one for one, each with the noun that stands before or behind both."""
    figures = _TWO_NUMBERS.fullmatch(cell)
    head, _, names = title.partition(":")
    parts = [part for part in re.split(r"\s+[/|]\s+", names or head) if part.strip()]
    if figures is None or len(parts) != 2:
        return ()
    noun = head.strip() if names else ""
    first, second = parts
    if not noun and " " in second.strip() and " " not in first.strip():
        first = f"{first} {second.strip().split(' ')[-1]}"  # "Query / KV heads"
    return f"{first.strip()} {noun}: {figures['first']}", f"{second.strip()} {noun}: {figures['second']}"


def _cells(statement: Statement, lexicon: Lexicon, language: str, variants: frozenset[int]) -> list[Sentence]:
    """``Title: value`` for plain value columns, ``header of title: value`` where the heading says what the column holds."""
    title = statement.cells[0] if statement.cells else ""
    found: list[Sentence] = []
    for place, cell in enumerate(statement.cells[1:], 1):
        header = statement.header[place] if place < len(statement.header) else ""
        if not (re.search(r"\d", cell) or re.search(r"NVLink", title) or _COUNTED_CELL.match(cell)) or _ASIDE.search(
            header
        ):
            continue
        slashed = _slashed(title, cell)
        if slashed:
            found += [_sentence(statement, text, lexicon, language, place == 1, place) for text in slashed]
            continue
        plain = (
            place in variants
            or bool(_PLAIN_HEADER.match(header.strip()))
            or len(statement.cells) == 2
            or _only_figure(statement, place, lexicon)
        )
        pair = _pair_of(title, cell)
        if pair:
            found += [_sentence(statement, text, lexicon, language, plain, place) for text in pair]
            continue
        per = _SCOPE_HEADER.match(header.strip())
        if per and not plain:
            header = re.sub(r"^the\s|\s?\([^)]*\)$", "", header.strip(), flags=re.IGNORECASE)
            scoped = "in total" if per["all"] else header if per["per"] else f"per {header}"
            unit = _UNIT_OF_TITLE.fullmatch(title)
            label = f"{unit['name']} {scoped} {unit['unit']}" if unit else f"{title} {scoped}"
            found.append(_sentence(statement, f"{label}: {cell}", lexicon, language, column=place))
            continue
        named = any(term.id("quantity") for term in lexicon.terms(header, []))
        if re.fullmatch(r"[~≈]?\s?\d{1,5}", cell.strip()):
            title = _CARD_COUNT.sub("GPUs", title)
        known = bool(gpus_named(title) or models_named(title) or list(mentions(title)))
        text = f"{title}: {cell}" if plain else f"{title} | {header}: {cell}"
        found.append(_sentence(statement, text, lexicon, language, plain or (named and known), place))
    return found


def _sentence(
    statement: Statement, text: str, lexicon: Lexicon, language: str, firm: bool = True, column: int = 0
) -> Sentence:
    if statement.kind != "row":
        text = _CARDS_COUNTED.sub("GPUs", text)
    strategies = []
    for mention in mentions(digits(text)):
        place = text.lower().find(mention.text.lower())
        strategies.append((place, place + len(mention.text), mention))
    for found_stages in _STAGES.finditer(text):
        count = found_stages[1].lower()
        stages = SMALL.get(count) or int(count)
        strategies.append((found_stages.start(), found_stages.end(), Mention((("pp", stages),), found_stages.group())))
    named = [span for span in ((a, b) for a, b, _ in strategies) if span[0] >= 0]
    gpus, models = gpus_named(text), models_named(text)
    named += [(one.start, one.end) for one in (*gpus, *models)]
    found = []
    said = portions(text)
    figures = [
        one for one in measures(text, language) if not any(p.start < one.end and one.start < p.end for p in said)
    ]
    for one in sorted([*with_implied_units(text, figures), *said], key=lambda one: one.start):
        if one.dimension == "bytes" and _of_name(text, one, gpus):
            continue
        counts = re.search(r"replica|stage|pipeline stages", text[one.start : one.end + 24], re.IGNORECASE)
        if any(a <= one.start < b for a, b in named) and not counts:
            continue
        if not one.dimension and not one.unit and _BITS.match(text[one.end :]):
            continue  # "at 4 bits": a number format
        found.append(one)
    terms = lexicon.terms(text, [(m.start, m.end) for m in found if not m.word or m.unit])
    terms = [t for t in terms if not (t.id("negation") and _ONLY.match(text[t.start :]))]
    terms = [t for t in terms if not (t.id("hypothetical") and _LATER_TOKENS.match(text[t.start :]))]
    found = [_hedged(text, one, terms) for one in found]
    return Sentence(
        statement,
        text,
        language,
        tuple(found),
        tuple(terms),
        tuple(gpus),
        tuple(models),
        tuple(strategies),
        firm,
        column,
    )


def _of_name(text: str, measure: Measure, gpus: list[Named]) -> bool:
    """Whether a size belongs to a GPU's name: ``A100 80 GB``, ``A100 de 40 Go``; the only figure of a text is a claim."""
    others = any(m.start != measure.start and m.dimension in ("bytes", "bytes/s", "FLOP/s") for m in measures(text))
    return others and any(
        re.fullmatch(r"[\s-]*(?:SXM\d?|PCIe|NVL)?[\s-]*(?:de |mit |with )?", text[g.end : measure.start])
        for g in gpus
        if g.end <= measure.start
    )


_NOT_MORE = re.compile(
    r"\b(?:not|hardly|barely|scarcely|kaum|guère|cannot|never|no \w+|nobody|n't|nicht|nie|kein\w*|ne|n'|aucune?)\b[^.;,\d]{0,40}?"
    r"\b(?:(?P<more>more than|over|beyond|exceed|mehr als|über|plus de|dépass\w+)|less than|fewer than|under|weniger als|unter|moins de)"
    r"\s(?:about |some |etwa |rund |environ )?$",
    re.IGNORECASE,
)
_LATER_TOKENS = re.compile(r"(?:later|spätere\w*)\s(?:\w+\s)?tokens?\b", re.IGNORECASE)
"""``all later tokens``: those behind the first, and no other time."""
_ONLY = re.compile(r"n(?:e\s|['’])\w+(?:\s\w+){0,2}\s(?:que\b|qu['’])", re.IGNORECASE)
"""``ne stocke que``: a restriction, and no negation."""
_COMMA = re.compile(r"[,;]\s")
_CLAUSE_OF = re.compile(r"(?:that|which|as|to|than|dass|die|der|das|wie|que|qui|comme)\b", re.IGNORECASE)
"""Behind a comma: words by which a clause still belongs to what a negation before it denies."""
_THEREFORE = re.compile(
    r",\s(?:(?:so|and|hence|thus|therefore|also|sodass|so dass|daher|und|donc|et|si bien que|that is)\b|i\.\s?e\.|d\.\s?h\."
    r"|c'est-à-dire|which)",
    re.IGNORECASE,
)
_BITS = re.compile(r"[\s-]?[Bb]its?\b")
_STAGES = re.compile(r"\bpipeline of (two|three|four|five|six|eight|sixteen|\d{1,3}) stages\b", re.IGNORECASE)


def _hedged(text: str, measure: Measure, terms: list[Term]) -> Measure:
    for term in terms:
        if term.id("hedges") and term.end <= measure.start and not text[term.end : measure.start].strip(" ~≈$€£"):
            from dataclasses import replace

            return replace(measure, hedged=True)
    return measure
