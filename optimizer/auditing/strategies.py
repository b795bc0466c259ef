"""Parallel strategies in the spellings people use: ``TP2-PP4-DP1``, ``TP=4, PP=2``, ``4-way tensor parallelism``, flags."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

from optimizer.auditing.facts import Degrees
from optimizer.auditing.reading import Statement

GPU_NAME = r"(?:[ABHLTV]\d{1,3}S?|MI\d{3}X?|(?:RTX )?(?:PRO )?\d{4}|GB\d00)"
"""What people call the cards of a machine, without their series."""
DEGREES = ("tp", "pp", "dp", "ep")
NAMES = {"tp": "tensor", "pp": "pipeline", "dp": "data", "ep": "expert"}

_SHORT = re.compile(
    r"(?<![A-Za-z_])(?P<which>TP|PP|DP|EP)(?:\s?[-_]?(?:size|degree))?\s?(?:=|:|-|_|\bof\b)?\s?(?P<n>\d{1,5})(?!\d|\.\d|\s?%)"
)
_VARIABLES = r"(?:TP|PP|DP|EP)(?:\s*[×xX*·]\s*(?:TP|PP|DP|EP))+"
_PRODUCT = re.compile(rf"(?P<names>{_VARIABLES})\s*=\s*(?P<factors>\d+(?:\s*[×xX*·]\s*\d+)+)")
_COMPACT = re.compile(r"\btp[-_]?\d+[-_x×·]?pp[-_]?\d+(?:[-_x×·]?dp[-_]?\d+)?(?:[-_x×·]?ep[-_]?\d+)?\b", re.IGNORECASE)
_BETWEEN = re.compile(r"(?:[\s,;/·×xX*+&|_()–-]|and|with){0,6}")
_WORDS = (
    r"(?P<{0}>{1})[\s_-]parallel(?:ism|ization)?(?:[\s_-](?:size|degree|width|world size))?(?:\s?\((?:TP|PP|DP|EP)\))?"
    r"(?:\s?(?:size|degree))?\s?(?:is set to|set to|of degree|of|is|:|=|\|)?\s?(?P<{0}n>\d{{1,5}})(?!\d|\.\d|\s?%|\s(?:of|out of)\b)"
)
_OTHER_WORDS = re.compile(
    r"(?:Tensor-?[Pp]arallelität|parallélisme (?:de )?tenseur\w*)(?:\s(?:von|de|=|:))?\s(?P<n>\d{1,3})\b", re.IGNORECASE
)
_AFTER = [re.compile(_WORDS.format(key, name), re.IGNORECASE) for key, name in NAMES.items()]
_BEFORE = [
    re.compile(
        rf"(?<![\d.])(?P<{key}n>\d{{1,5}})[\s-]?(?:way|fold|stage|degree|GPU)?[\s-]+(?P<{key}>{name})[\s-]parallel",
        re.IGNORECASE,
    )
    for key, name in NAMES.items()
]
_STAGES = re.compile(
    r"(?<![\d.])(?P<a>\d{1,4})(?:\s|-)(?:pipeline stages|(?:pipeline[\s-])?stage pipeline)"
    r"|\bpipeline stages?\s?(?:=|:|\|)\s?(?P<b>\d{1,4})(?!\d|\.\d)",
    re.IGNORECASE,
)
_REPLICAS = re.compile(
    r"(?<![\d.,])(?P<a>\d{1,4}) (?:data[\s-]parallel |model |independent )?replicas\b", re.IGNORECASE
)

HYPOTHETICAL = re.compile(
    r"\b(?:could|would|might|may|consider\w*|alternativ\w*|instead|recommend\w*|suggest\w*|if|scal(?:e|ing)|future|optional(?:ly)?"
    r"|compar\w*|versus|vs|rather|unlike|previous\w*|earlier|baseline|other|switch\w*|moving|upgrad\w*|increas\w*|next|e\.g|example"
    r"|add(?:ing)?|possible|becom\w*|additional|extra|more GPUs?|more nodes?|reject\w*|option|candidate|tried"
    r"|was|were|had we|had it|old|tested|formerly|legacy|hätten?|wären?|würden?|könnten?|bräuchten?|falls|wenn|bisher\w*|früher\w*"
    r"|verworfen|stattdessen"
    r"|aurai\w*|serai\w*|pourrai\w*|faudrait|si (?:nous|on|l)|nécessiterai\w*|écarté\w*|auparavant|précédent\w*|ancien\w*)\b",
    re.IGNORECASE,
)
_ASIDE = re.compile(
    r"\b(?:recommendations|alternativ|future|next step|compar|appendix|option|considered|outlook)", re.IGNORECASE
)


RECOMMENDED = re.compile(
    r"\b(?:recommend|suggest|propos|select|chosen|choose|lean(?:ing)? (?:to|towards?)\b|prefer|favou?r|in favou?r of"
    r"|go(?:ing)? (?:for|with)\b"
    r"|opt(?:ed)? for|settle[ds]? (?:on|for)|empfehl|empfohlen|vorschlag|schlage\w* vor|bevorzug|entscheid|recommand|préfér"
    r"|retenu|retenons)\w*",
    re.IGNORECASE,
)
"""Words by which a report recommends what it is about."""


_AGAINST = re.compile(
    r"\b(?:although|though|instead of|rather than|over|while|whereas|obwohl|statt|anstelle|bien que|plutôt que|au lieu de)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Mention:
    """Degrees named together in one place."""

    degrees: tuple[tuple[str, int], ...]
    text: str

    @property
    def as_dict(self) -> dict[str, int]:
        """Degree by its short name."""
        return dict(self.degrees)


@dataclass(frozen=True)
class Proposed(Degrees):
    """The strategy the report is about; degrees that it never names are 1. ``named`` are those that it does, ``line`` is where."""

    named: frozenset[str]
    line: int


@lru_cache(maxsize=4096)
def hypothetical(statement: Statement) -> bool:
    """Whether a statement speaks of something other than what is proposed."""
    return bool(HYPOTHETICAL.search(statement.text) or _ASIDE.search(statement.section))


def mentions(text: str) -> Iterator[Mention]:
    """Strategies and single degrees named in a text."""
    for product in _PRODUCT.finditer(text):
        names = [name.lower() for name in re.findall(r"TP|PP|DP|EP", product["names"])]
        factors = [int(n) for n in re.findall(r"\d+", product["factors"])]
        if len(names) == len(factors):
            yield Mention(tuple(zip(names, factors, strict=True)), product.group())
    text = _COMPACT.sub(lambda found: found.group().upper(), text)
    text = re.sub(_VARIABLES + r"\s*=?\s*[\d\s×xX*·]*", " ; ", text)
    group: list[tuple[str, int]] = []
    start = end = 0
    for found in _SHORT.finditer(text):
        which, n = found["which"].lower(), int(found["n"])
        if group and (which in dict(group) or not _BETWEEN.fullmatch(text[end : found.start()])):
            yield Mention(tuple(group), text[start:end])
            group = []
        if not group:
            start = found.start()
        group.append((which, n))
        end = found.end()
    if group:
        yield Mention(tuple(group), text[start:end])
    for key, after, before in zip(NAMES, _AFTER, _BEFORE, strict=True):
        for found in [*after.finditer(text), *before.finditer(text)]:
            yield Mention(((key, int(found[f"{key}n"])),), found.group())
    for found in _OTHER_WORDS.finditer(text):
        yield Mention((("tp", int(found["n"])),), found.group())
    for found in _STAGES.finditer(text):
        yield Mention((("pp", int(found["a"] or found["b"])),), found.group())
    for found in _PAIRS.finditer(text):
        yield Mention((("tp", 2), ("dp", SMALL.get(found["n"].lower()) or int(found["n"]))), found.group())
    for found in _REPLICAS.finditer(text):
        yield Mention((("dp", int(found["a"])),), found.group())


def proposed_strategy(
    statements: tuple[Statement, ...], flags: dict[str, tuple[int, int]], gpus: int | None = None
) -> Proposed | None:
    """What the report proposes; a report that names its strategy only in a recommendation is taken at that.

    Args:
        statements: the report without its launch commands.
        flags: degree to (value, line) of the launch command.
        gpus: how many there are; replicas that would take more are not the strategy's. None: not looked at.
    """
    found = _by_its_names(statements, flags)
    if found is None or "dp" in found.named:
        return found
    for copies, line in _copies(statements):
        if gpus is None or found.tp * found.pp * copies <= gpus:
            return replace(found, dp=copies, named=found.named | {"dp"}, line=found.line or line)
    return found


def _copies(statements: tuple[Statement, ...]) -> Iterator[tuple[int, int]]:
    """How many replicas a report says that it runs, with the line: ``two independent replicas, each over four cards``."""
    for statement in statements:
        aside = hypothetical(statement) and not RECOMMENDED.search(statement.text)
        if not statement.readable or statement.kind == "heading" or aside:
            continue
        if statement.kind == "row":
            if _COPIES_TITLE.match(statement.cells[0].strip()) and (value := _only_count(statement)):
                yield value, statement.line
            continue
        for sentence in re.split(r"(?<=[.;!?])\s", statement.text):
            times = _RUN_TIMES.search(sentence)
            if times and _SPLIT_IN.search(sentence):
                yield _TIMES[times["n"].lower()], statement.line
            found = _HAS_COPIES.search(sentence)
            if found and not _OF_A_LOSS.search(sentence):
                yield _number(found["n"]), statement.line


def _by_its_names(statements: tuple[Statement, ...], flags: dict[str, tuple[int, int]]) -> Proposed | None:
    """The strategy as its degrees are named, replicas that are only counted aside."""
    plain = tuple(s for s in statements if s.readable and not hypothetical(s))
    advised = tuple(s for s in statements if s.readable and RECOMMENDED.search(s.text))
    if not flags and not any(len(mention.degrees) > 1 for s in plain for mention in mentions(_spelled(s.text))):
        # "I lean towards TP4·PP1·DP4, although TP8 would do": what is recommended goes before what is only spoken of.
        led = tuple(replace(s, text=_AGAINST.split(s.text)[0]) for s in advised)
        found = _proposed(led, {})
        if found and len(found.named) > 1:
            return found
    return _proposed(plain, flags) or _proposed(advised, {})


def _proposed(statements: tuple[Statement, ...], flags: dict[str, tuple[int, int]]) -> Proposed | None:
    """The most frequent full name, completed by single degrees, then by launch flags."""
    full: Counter[tuple[tuple[str, int], ...]] = Counter()
    single: dict[str, tuple[int, int]] = {}
    lines: dict[tuple[tuple[str, int], ...], int] = {}
    for statement in statements:
        cell = _of_row(statement)
        if cell:
            single.setdefault(cell[0], (cell[1], statement.line))
        if statement.kind == "row" and len(statement.cells) > 2:
            continue
        told = _spelled(statement.text)
        if any("tp" in mention.as_dict for mention in mentions(told)) and _WITH_COPIES.search(statement.text):
            told = digits(statement.text)
        for mention in mentions(told):
            key = tuple(sorted(mention.degrees))
            if len(key) > 1:
                full[key] += 1
                lines.setdefault(key, statement.line)
            else:
                single.setdefault(key[0][0], (key[0][1], statement.line))
    chosen: dict[str, int] = {}
    line = 0
    if full:
        best = max(full, key=lambda key: (full[key] + sum(set(key) < set(k) for k in full), len(key), -lines[key]))
        chosen, line = dict(best), lines[best]
    for source in (single, flags):
        for which, (value, where) in source.items():
            if which not in chosen:
                chosen[which] = value
                line = line or where
    if not {"tp", "pp"} & set(chosen) or any(value < 1 for value in chosen.values()):
        return None
    tp, pp, dp, ep = (chosen.get(which, 1) for which in DEGREES)
    return Proposed(tp, pp, dp, ep, frozenset(chosen), line)


_ROW = re.compile(
    r"(?:^|\s)(?:(?P<short>TP|PP|DP|EP)|(?P<word>tensor|pipeline|data|expert)[\s-]parallel\w*)(?:\s(?:size|degree))?$",
    re.IGNORECASE,
)


def _of_row(statement: Statement) -> tuple[str, int] | None:
    """A degree from a row ``Tensor parallel | 8 | chosen``, where the column holds one value and no comparison."""
    if statement.kind != "row" or len(statement.cells) < 2:
        return None
    if not re.fullmatch(r"\d{1,4}", statement.cells[1].strip()):
        named, value = _ROW.search(statement.cells[0].strip()), _only_count(statement)
        return ((named["short"] or named["word"][0] + "p").lower(), value) if named and value else None
    if len(statement.header) > 1 and not re.fullmatch(
        r"(?:values?|figures?|setting|choice|degree|wert|valeur|)", statement.header[1].strip(), re.IGNORECASE
    ):
        return None
    found = _ROW.search(statement.cells[0].strip())
    if not found:
        return None
    return (found["short"] or found["word"][0] + "p").lower(), int(statement.cells[1])


def _only_count(statement: Statement) -> int | None:
    """The count of a row whose other cells are empty or dashes: ``Replicas | – | 2``."""
    cells = [cell.strip() for cell in statement.cells[1:] if cell.strip() not in ("", "-", "–", "—")]
    return int(cells[0]) if len(cells) == 1 and re.fullmatch(r"\d{1,4}", cells[0]) else None


def _number(word: str) -> int:
    return int(word) if word.isdigit() else SMALL[word.lower()]


def digits(text: str) -> str:
    """Number words before stages and replicas as digits."""
    text = _COPIES.sub(lambda found: f"{SMALL.get(found['n'].lower()) or found['n']} replicas", text)
    text = re.sub(
        r"\b(two|three|four|five|six|eight|sixteen)(?=[\s-](?:pipeline[\s-])?(?:stages?|replicas|ways?)\b)",
        lambda found: str(SMALL[found[1].lower()]), text, flags=re.IGNORECASE,
    )  # fmt: skip
    return _spelled(text)


def _spelled(text: str) -> str:
    """``tensor parallelism over two cards`` as ``tensor parallelism 2 cards``, and of "degree two" as "of degree 2"."""
    text = _DEGREE.sub(lambda found: f"{found['what']}{SMALL[found['n'].lower()]}", text)
    return _OVER.sub(
        lambda found: f"{found['what']} {SMALL.get(found['n'].lower()) or found['n']} {found['cards']}", text
    )


SMALL = {
    "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "eight": 8, "sixteen": 16, "zwei": 2, "vier": 4, "acht": 8, "sechzehn": 16,
    "deux": 2, "quatre": 4, "huit": 8, "seize": 16,
}  # fmt: skip
_PAIRS = re.compile(
    rf"\b(?P<n>\d{{1,3}}|{'|'.join(SMALL)})\s(?:tensor[\s-]parallel\s(?:pairs|couples)|tensorparallelen?\sPaaren?"
    r"|paires\s(?:en\sparallélisme|à parallélisme)"
    r"\s(?:de tenseurs|tensoriel))\b",
    re.IGNORECASE,
)
"""``run as two tensor-parallel pairs``: TP2, and how many of them."""
_COPIES = re.compile(
    rf"\b(?P<n>\d{{1,3}}|{'|'.join(SMALL)})\s(?:(?:data[\s-]parallel|independent|identical|gleichen?"
    rf"|identiques)\s)?(?:replicas|Replikate?n?|Repliken|répliques|instances|Instanzen)\b",
    re.IGNORECASE,
)
_NUMBERS = "|".join(SMALL)
_COPY_WORD = r"(?:replicas|copies|instances|engines|Replikaten?|Repliken|Instanzen|Kopien|répliques|copies|exemplaires)"
_HAS_COPIES = re.compile(
    rf"(?<![\w.,/×x-])(?<!of )(?<!the )(?<!die )(?<!les )(?<!beide )(?P<n>\d{{1,3}}|{_NUMBERS})\s"
    rf"(?:(?!per\b|more\b|other\b|weitere)[\w-]+\s){{0,2}}?{_COPY_WORD}\b"
    r"(?!\s(?:per|each|on each|pro|je|par|an?)\s(?:node|server|machine|host|Knoten|Server|Rechner|nœud|serveur))",
    re.IGNORECASE,
)
"""``two independent replicas``; "the two replicas" go on about what was said."""
_TIMES = {"twice": 2, "three times": 3, "four times": 4, "eight times": 8, "zweimal": 2, "dreimal": 3, "viermal": 4, "achtmal": 8,
          "deux fois": 2, "trois fois": 3, "quatre fois": 4, "huit fois": 8}  # fmt: skip
_RUN_TIMES = re.compile(
    rf"\b(?:runs?|starts?|started|deploy\w*|launch\w*|host\w*|operate|läuft|laufen|starten|gestartet|betreiben|tourne\w*|lan[cç]\w+"
    rf"|déploy\w+|démarr\w+)\s(?:\w+\s){{0,3}}?(?P<n>{'|'.join(_TIMES)})\b",
    re.IGNORECASE,
)
_SPLIT_IN = re.compile(
    r"\b(?:tensor|split|cut|divid\w+|slic\w+|TP\W?\d|teil\w*|geteilt|aufgeteilt|découp\w+|divis\w+|partag\w+)\b",
    re.IGNORECASE,
)
"""``cut in two and run that twice``: replicas counted by how often a split model is started."""
_COPIES_TITLE = re.compile(
    r"(?:replicas?|copies|instances?|Replikate?|Instanzen|répliques?)(?:\s\(DP\))?$", re.IGNORECASE
)
_OF_A_LOSS = re.compile(
    r"\b(?:fail\w*|los(?:e|t|s|ing)\w*|remain\w*|left|survive\w*|only|dead|down|Ausfall|fällt|bleib\w*|nur|reste\w*|panne|seulement"
    r"|TP\W?\d+ (?:would|gives)|at least|at most|up to|room)\b",
    re.IGNORECASE,
)
_WITH_COPIES = re.compile(
    r"\b(?:TP|tensor)\W?\w*\W{1,3}\w*\s?(?:with|and|mit|und|et|avec|×|x|on)\s"
    rf"(?:\d{{1,3}}|{_NUMBERS})\s(?:\w+\s)?(?:replicas|Replik|réplique|instances|Instanz)",
    re.IGNORECASE,
)
"""``TP2 with two replicas``: one strategy, and no remark on what else there is."""
_DEGREE = re.compile(rf"(?P<what>\bparallelism (?:of|with) degree (?:of )?)(?P<n>{'|'.join(SMALL)})\b", re.IGNORECASE)
_OVER = re.compile(
    r"(?P<what>tensor[\s-]parallel(?:ism|ly)?|Tensor-?[Pp]arallelität|parallélisme (?:de )?tenseur\w*)"
    r"(?:\s\w+){0,2}?\s(?:over|across|on|of|with|über|auf|von|sur|à)\s(?:all |the |alle |les )?"
    rf"(?P<n>\d{{1,3}}|{'|'.join(SMALL)})\s(?P<cards>GPUs?|cards?|accelerators?|devices|Karten|cartes|GPU|{GPU_NAME}s?)\b",
    re.IGNORECASE,
)
