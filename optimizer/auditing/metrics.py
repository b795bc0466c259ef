"""Performance metrics by the names reports give them, and table rows of target and achieved."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from optimizer.auditing.reading import Statement
from optimizer.auditing.units import Amount, first_amount

# (metric, words, unit its figures have, True: higher is better)
_METRICS: tuple[tuple[str, str, tuple[str, ...], bool], ...] = (
    (
        "ttft",
        r"\bTTFT\b|time[- ]to[- ]first[- ]token|first[- ]token|erste[ns]? Tokens?|premier (?:jeton|token)",
        ("ms",),
        False,
    ),
    ("prefill", r"\bprefill (?:latency|time)|\bprefill\b(?!.*(?:token|throughput))", ("ms",), False),
    (
        "tpot",
        r"\bTPOT\b|\bITL\b|inter[- ]token"
        r"|time per (?:output )?token|per[- ]token latency"
        r"|\bdecode (?:latency|time)"
        r"|\bdecode\b(?!.*(?:token|throughput))|\bper (?:output )?token\b(?!s)|(?:pro|je) (?:Ausgabe)?token|par (?:jeton|token)|Dekodier\w*"
        r"|latence (?:de décodage|par jeton)",
        ("ms",),
        False,
    ),
    ("gpu_utilization", r"\b(?:GPU|SM|compute) utili[sz]ation", ("%",), True),
    ("memory", r"\b(?:memory|VRAM|HBM) (?:usage|utili[sz]ation|used|footprint)", ("%", "bytes"), False),
    (
        "tokens",
        r"\btok(?:en)?s?\s?(?:/|per )\s?s|token throughput|output throughput|generation throughput",
        ("tokens/s", ""),
        True,
    ),
    (
        "rate",
        r"\b(?:RPS|QPS)\b|\breq(?:uest)?s?\s?(?:/|per )\s?s"
        r"|request (?:rate|throughput)|request throughput|Anfragen (?:pro|je) Sekunde|Anfragen/s|requêtes (?:par seconde|/\s?s)",
        ("requests/s", ""),
        True,
    ),
    (
        "batch",
        r"\bbatch(?: size)?\b|concurren\w+ (?:requests|sequences)|max(?:imum)?[ _-]num[ _-]seqs|sequences at once"
        r"|parallel (?:sequences|requests)|gleichzeitige \w+|séquences simultanées|\bconcurrency\b",
        ("",),
        True,
    ),
    ("availability", r"\bavailability\b|\buptime\b", ("%",), True),
    ("latency", r"\blatency\b|\bresponse time\b", ("ms",), False),
)
_TARGET = re.compile(
    r"\b(?:target|requirement|required|limit|goal|slo|sla|budget|threshold|spec|allowed|agreed|promised|wanted"
    r"|demanded|contract|bounds?|max|maximum|ziel|vorgabe|soll|grenz"
    r"|anforderung|gefordert|erlaubt"
    r"|objectif|cible|exig|seuil|plafond|ceiling|bound|must|muss|doit)",
    re.IGNORECASE,
)
_ACHIEVED = re.compile(
    r"\b(?:achieved|actual|measured|current|observed|result|obtained|delivered|reached|estimate[sd]?|predict\w*|forecast"
    r"|planned|plan|simulat\w*|expected|projected|modell?ed|prognos\w*|geschätzt|erwartet|prévu\w*|estimé\w*|seen"
    r"|recorded|value|we got|run|bench\w*|rehears\w*|trials?|tests?|tested|drill|probe(?:lauf)?|essai"
    r"|gemessen|erreicht|ist\b|messwert|ergebnis|beobachtet|mesur|obtenu|atteint|constat|résultat|observé|relevé)",
    re.IGNORECASE,
)
_STATUS = re.compile(
    r"\b(?:status|state|verdict|fine|okay|compliance|pass|met|ok|assessment|check|result|judg\w+|urteil|erfüllt|bewertung"
    r"|eingehalten|befund|bilan|statut|conforme|respecté|avis)",
    re.IGNORECASE,
)
_CLAUSE = re.compile(r"[,;]\s+|\.\s+(?=[A-Z(])")
PASS = re.compile(
    r"[✓✅✔]|\b(?:pass(?:ed|es)?|ok(?:ay)?|meets?|met|within|good|excellent|optimal|yes|compliant|satisfied|fine"
    r"|green|ja|erfüllt|eingehalten|bestanden|oui|respectée?|conforme|tenue?)\b",
    re.IGNORECASE,
)
FAIL = re.compile(
    r"[✗✘❌✖]|\b(?:fail(?:ed|s)?|miss(?:ed|es)?|violat\w+|not met|not ok|no|non-compliant|exceeded|red|nein"
    r"|nicht (?:erfüllt|eingehalten|bestanden)|verfehlt|überschritten|verletzt|non|dépassée?|non (?:respectée?"
    r"|conforme|tenue?)|échec|manquée?)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric a report speaks of; ``percentile`` 0 where none is named."""

    key: str
    percentile: int
    dimensions: tuple[str, ...]
    higher_is_better: bool


@dataclass(frozen=True, slots=True)
class MetricRow:
    """A table row with a target and what was achieved."""

    line: int
    title: str
    metric: Metric | None
    target: Amount
    achieved: Amount
    status: str
    text: str


def metric_of(words: str) -> Metric | None:
    """The metric some words name, or None."""
    for key, pattern, dimensions, better in _METRICS:
        if re.search(pattern, words, re.IGNORECASE):
            return Metric(key, percentile_of(words), dimensions, better)
    return None


def percentile_of(words: str) -> int:
    """50 for a median, 99 for P99; 0 where none is named."""
    if re.search(r"\bmedian\b|\bmédiane?\b", words, re.IGNORECASE):
        return 50
    found = re.search(r"\bp(\d\d)\b|\b(\d\d)(?:th|-th)\b", words, re.IGNORECASE)
    return int(found[1] or found[2]) if found else 0


def target_row(statement: Statement) -> MetricRow | None:
    """A row of a table whose header names a target and an achieved column, with a number in each."""
    header, cells = statement.header, statement.cells
    if statement.kind != "row" or len(header) < 3 or len(cells) != len(header):
        return None
    target = next((i for i, title in enumerate(header) if i and _TARGET.search(title)), None)
    achieved = next(
        (
            i
            for i, title in enumerate(header)
            if i and i != target and _ACHIEVED.search(title) and first_amount(cells[i])
        ),
        None,
    )
    # Where only one of the two columns says what it is, the other is the other column of figures.
    figures = [i for i in range(1, len(header)) if first_amount(cells[i]) and not _STATUS.search(header[i])]
    if len(figures) == 2 and (target is None) != (achieved is None):
        known = target if target is not None else achieved
        rest = figures[1 - figures.index(known)] if known in figures else None
        target, achieved = (known, rest) if target is not None else (rest, known)
    if target is None or achieved is None:
        return None
    status = next(
        (i for i, title in enumerate(header) if i and i not in (target, achieved) and _STATUS.search(title)), None
    )
    wanted, got = first_amount(cells[target]), first_amount(cells[achieved])
    if wanted is None or got is None or _many(cells[target]) or _many(cells[achieved]):
        return None
    if not got.unit and wanted.unit:
        got = first_amount(f"{got.text} {wanted.unit}") or got
    if not wanted.unit and got.unit:
        wanted = first_amount(f"{wanted.text} {got.unit}") or wanted
    if wanted.dimension != got.dimension:
        return None
    return MetricRow(
        statement.line,
        cells[0],
        metric_of(cells[0]),
        wanted,
        got,
        cells[status] if status is not None else "",
        statement.text,
    )


def labelled_metrics(statement: Statement) -> Iterator[tuple[Metric, Amount, str]]:
    """``Label: value`` lines that state one figure of a metric: (metric, value, label)."""
    if statement.kind == "code" or statement.header:
        return
    for clause in _CLAUSE.split(statement.text):
        found = re.match(r"(?:\d+\.\s*)?([^:=|]{3,60}?)\s*(?:[:=|]|\bis\b)\s*(.+)", clause)
        metric, value = (metric_of(found[1]), first_amount(found[2])) if found else (None, None)
        if (
            not found
            or not metric
            or not value
            or value.start > 3
            or value.dimension not in metric.dimensions
            or _many(found[2])
        ):
            continue
        tail = found[2][value.end :]
        if metric.key == "gpu_utilization" and re.match(r"\s*of\b|\s*\(?\d+ of", tail):
            continue
        yield replace(metric, percentile=metric.percentile or percentile_of(tail)), value, found[1]


def is_target(label: str) -> bool:
    """Whether a label speaks of a target rather than of what is."""
    return bool(_TARGET.search(label))


def _many(cell: str) -> bool:
    first = first_amount(cell)
    return first is not None and first_amount(cell[first.end :]) is not None
