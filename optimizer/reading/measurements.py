"""The measurement file: one CSV row per serving run. Reads it and says of each row why it cannot be used."""

from __future__ import annotations

import itertools
import math
import re
from dataclasses import dataclass
from pathlib import Path

from optimizer.engines.registry import measured_as, named
from optimizer.facts.errors import ProblemError
from optimizer.reading.files import read_csv

REQUIRED = ("model", "system", "isl", "osl", "concurrency")
DEFAULTS = {"attention_dp": 1, "ep": 1, "pp": 1, "nodes": 1}  # columns that may be absent or empty
CLOSED_LOOP, OPEN_LOOP, ALL_AT_ONCE, OFFLINE_MAX, STATIC_BATCH, DISAGGREGATED, DISAGGREGATED_OPEN = KINDS = (
    "closed_loop",
    "open_loop",
    "all_at_once",
    "offline_max",
    "static_batch",
    "disaggregated",
    "disagg_open",
)
"""How a run was loaded; a row that states no kind is a closed loop, one with pools of its own a disaggregated one.

closed_loop: ``concurrency`` requests always in progress. open_loop: ``concurrency`` requests in all, arriving as a Poisson
stream of ``request_rate`` a second. all_at_once: the same without gaps. offline_max: all requests queued, ``concurrency``
of them at once at most. static_batch: one batch from start to end. disaggregated: a closed loop over pools of prefill and
decode workers. disagg_open: one prefill and one decode instance under Poisson arrivals.
"""
NATIVE = "native"
"""The precision of a row that states none: the published checkpoint's own."""
LARGEST = {"isl": 10_000_000, "osl": 10_000_000, "concurrency": 1_000_000}
LARGEST_DEGREE = 100_000
LARGEST_BYTES = 64 * 1024 * 1024

INFERENCEMAX_LENGTHS = frozenset({("1024", "1024"), ("1024", "8192"), ("8192", "1024")})
INFERENCEMAX_WAVES = 10
FIXED_LENGTH_IDS = ("_epnone_", "_gap_analysis_")
"""In the ids of runs that the corpus's own authors made, with fixed lengths."""
INFERENCEMAX_MEAN = 0.9
"""Mean length over the stated one."""


@dataclass(frozen=True, slots=True)
class MeasuredPool:
    """Equal workers of one side of a disaggregated run."""

    workers: int
    tp: int
    pp: int
    ranks: int
    ep: int

    @property
    def gpus(self) -> int:
        """GPUs of the side."""
        return self.workers * self.tp * self.pp * self.ranks


USUAL_CONCURRENCY = {OFFLINE_MAX: 2048, OPEN_LOOP: 1000}
"""Where a row states none: sequences at once of TensorRT-LLM's throughput benchmark (its max_batch_size), requests of a run (the
default of vLLM's and SGLang's clients)."""


class UnusableRow(ValueError):
    """A row that cannot be predicted; the message is its note."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """One run as the file states it; times in ms, NaN where nothing was measured."""

    model: str
    system: str
    engine: str
    version: str
    precision: str
    prompt_tokens: int
    output_tokens: int
    concurrency: int
    tp: int
    pp: int
    ranks: int
    """Data-parallel ranks: ``attention_dp``."""
    ep: int
    gpus: int
    ttft_ms: float
    tpot_ms: float
    kind: str = CLOSED_LOOP
    nodes: int = 1
    network: str = ""
    """What joins the nodes, in the row's words."""
    rate_per_s: float = math.nan
    """Requests a second of an open loop; infinite: all at once."""
    output_tok_s: float = math.nan
    percentiles: tuple[float, float, float, float] = (math.nan,) * 4
    """TTFT P50 and P99, TPOT P50 and P99, ms."""
    prefill: MeasuredPool | None = None
    decode: MeasuredPool | None = None
    eager: bool = False
    """Without CUDA graphs, as the row's note says."""
    guessed: int = 0
    """Tokens that multi-token prediction guesses in a step, as the row states."""
    waves: int = 0
    """Above 0: lengths are drawn from 0.8 to 1.0 of the stated, and this many times ``concurrency`` requests were sent."""
    note: str = ""
    """What the file says of the run besides."""
    reading: str = ""
    """How the row was read where its figures contradict its columns; empty: as they stand."""
    together: bool = False
    """Requests of one length that began together end together, so that every wave of them is a burst."""

    @property
    def end_to_end_ms(self) -> float:
        """TTFT + (osl − 1) · TPOT."""
        return self.ttft_ms + (self.output_tokens - 1) * self.tpot_ms

    @property
    def mean_prompt_tokens(self) -> float:
        """Tokens of the mean prompt."""
        return self.prompt_tokens * (INFERENCEMAX_MEAN if self.waves else 1)

    @property
    def mean_output_tokens(self) -> float:
        """Tokens of the mean answer."""
        return self.output_tokens * (INFERENCEMAX_MEAN if self.waves else 1)

    @property
    def measured(self) -> bool:
        """Both times are there."""
        return math.isfinite(self.ttft_ms) and math.isfinite(self.tpot_ms)


@dataclass(frozen=True, slots=True)
class MeasurementTable:
    """The file: its columns and rows as text."""

    columns: tuple[str, ...]
    rows: tuple[dict[str, str], ...]


def read_table(path: Path) -> MeasurementTable:
    """Rows of a measurement file.

    Raises:
        ProblemError: the file cannot be read, has no rows, or lacks a column that every row needs.
    """
    columns, rows = read_csv(path, str(path), LARGEST_BYTES)
    missing = [name for name in REQUIRED if name not in columns]
    if missing:
        raise ProblemError(
            str(path), f"lacks the column{'s' * (len(missing) > 1)} {', '.join(missing)}; needed: {', '.join(REQUIRED)}"
        )
    if not rows:
        raise ProblemError(str(path), "has no rows")
    return MeasurementTable(columns, tuple(rows))


def parse(row: dict[str, str]) -> Measurement:
    """One row, checked.

    Raises:
        UnusableRow: a name is empty or a count is no whole number in range.
    """
    for name in ("model", "system"):
        if not row[name].strip():
            raise UnusableRow(f"{name} is empty")
    kind = _kind(row)
    if not row["concurrency"].strip() and kind in USUAL_CONCURRENCY:
        row = {**row, "concurrency": str(USUAL_CONCURRENCY[kind])}
    pools = _pool(row, "prefill"), _pool(row, "decode")
    if pools[0] and pools[1]:
        kind = DISAGGREGATED_OPEN if kind in {OPEN_LOOP, DISAGGREGATED_OPEN} else DISAGGREGATED
        decode = pools[1]
        row = {
            **row,
            "tp": str(decode.tp),
            "pp": str(decode.pp),
            "attention_dp": str(decode.ranks),
            "ep": str(decode.ep),
            "gpus": str(decode.tp * decode.pp * decode.ranks),
        }
    _playable(row, kind)
    pp, ranks, ep = (_count(row, name) for name in ("pp", "attention_dp", "ep"))
    if kind == DISAGGREGATED and not (pools[0] and pools[1]):
        raise UnusableRow("a disaggregated run needs prefill_num_workers and decode_num_workers, and their sizes")
    row, reading = _in_place(row, kind)
    alone = kind == DISAGGREGATED_OPEN and not (pools[0] and pools[1])
    if alone:
        ranks = 1  # the column counts the instances, not attention ranks
        row = {**row, "gpus": "" if row.get("tp", "").strip() else row.get("gpus", "")}
    tp = _tensor_parallel(row, pp, ranks * (sum(_instances(row)) if alone else 1))
    ranks = max(ranks, -(-ep // tp))  # experts never take GPUs of their own
    if alone:
        pools = tuple(MeasuredPool(count, tp, pp, ranks, ep) for count in _instances(row))  # type: ignore[assignment]
    gpus = tp * pp * ranks
    if row.get("gpus", "").strip():
        gpus = _count(row, "gpus")
    engine = row.get("backend", "").strip().lower().replace("_", "-")
    return Measurement(
        model=row["model"].strip(),
        system=row["system"].strip(),
        engine=named(engine),
        version=row.get("backend_version", "").strip(),
        precision=row.get("precision", "").strip().lower() or NATIVE,
        prompt_tokens=_count(row, "isl"),
        output_tokens=_count(row, "osl"),
        concurrency=_count(row, "concurrency"),
        tp=tp,
        pp=pp,
        ranks=ranks,
        ep=ep,
        gpus=gpus,
        ttft_ms=_time(row.get("ttft_ms", "")),
        tpot_ms=_time(row.get("tpot_ms", "")),
        kind=kind,
        nodes=_count(row, "nodes"),
        network=row.get("network", "").strip(),
        rate_per_s=_time(row.get("request_rate", "")),
        output_tok_s=_time(row.get("output_tok_s", "")),
        percentiles=(
            _time(row.get("ttft_p50_ms", "")),
            _time(row.get("ttft_p99_ms", "")),
            _time(row.get("tpot_p50_ms", "")),
            _time(row.get("tpot_p99_ms", "")),
        ),
        prefill=pools[0],
        decode=pools[1],
        eager=_says(row, "enforce-eager", "no cuda graphs"),
        waves=_waves(row),
        together=_together(row, named(engine)),
        note=row.get("note", "").strip(),
        reading=reading,
        guessed=_guessed(row),
    )


GUESS_COLUMNS = ("mtp", "nextn", "num_nextn_predict_layers", "speculative", "spec_decoding", "speculative_tokens")
USUAL_GUESSES = 2
"""Tokens guessed in a step where a run says only that it guesses."""
MOST_GUESSES = 16
NO = frozenset({"", "0", "0.0", "no", "off", "none", "false", "n/a", "na", "-", "null", "nan"})
GUESSES = re.compile(
    r"(?:\bmtp|multi-?token prediction|\bnextn)(?=\d|\b)(?! (?:off|unknown|unstated|may))"
    r"(?:\s*[:=]?\s*(\d+)\b|\D{0,12}?\b(\d+) (?:draft )?tokens?)?"
)
GUESSES_IN_ID = re.compile(r"(?:^|[_-])mtp(?:[_\d-]|$)")
NO_GUESSES = re.compile(
    r"(?:\bno|\bwithout|\bnot) (?:\w+ )?(?:mtp|multi-?token prediction)|(?:mtp|prediction)\W{1,3}(?:off|none|no|false|0)\b"
)


def _guessed(row: dict[str, str]) -> int:
    """Tokens guessed in a step: a column of its own, else what the note says; 0 where nothing does."""
    for name in GUESS_COLUMNS:
        text = row.get(name, "").strip().lower()
        if text not in NO:
            number = re.search(r"\d+", text)
            return min(int(number[0]), MOST_GUESSES) if number else USUAL_GUESSES
    note = row.get("note", "").lower() + (" mtp" if GUESSES_IN_ID.search(row.get("id", "").lower()) else "")
    found = None if NO_GUESSES.search(note) else GUESSES.search(note)
    if found is None:
        return 0
    return min(int(found[1] or found[2] or USUAL_GUESSES), MOST_GUESSES)


def _waves(row: dict[str, str]) -> int:
    """Waves of the InferenceMAX protocol, 0 where lengths are fixed: what the row says, else by its lengths.

    InferenceMAX sweeps three pairs of lengths, draws each length uniformly from 0.8 to 1.0 of the stated one, and sends
    10 x concurrency requests (its ``benchmark_serving`` calls, --random-range-ratio 0.8 and --num-prompts).
    """
    said = _protocol(row)
    if said:
        return INFERENCEMAX_WAVES if said == "inferencemax" else 0
    lengths = row.get("isl", "").strip(), row.get("osl", "").strip()
    return INFERENCEMAX_WAVES if lengths in INFERENCEMAX_LENGTHS and not _fixed_lengths(row) else 0


def _fixed_lengths(row: dict[str, str]) -> bool:
    """Whether the run is known to be one of those that the corpus's own authors made."""
    return any(word in row.get("id", "") for word in FIXED_LENGTH_IDS)


def _together(row: dict[str, str], engine: str) -> bool:
    """Whether every wave is a burst: what the row says (protocol: synchronised), else, of fixed lengths, by engine and version."""
    said = _protocol(row)
    if said:
        return said in {"synchronised", "synchronized"}
    known = measured_as(engine)
    until = known.together_before if known else None
    version = _release(row.get("backend_version", ""))
    return bool(until and version) and version < _release(until or "") and _fixed_lengths(row)


def _protocol(row: dict[str, str]) -> str:
    return row.get("protocol", "").strip().lower()


def _release(version: str) -> tuple[int, ...]:
    """The numbers that a version begins with; none where it begins with a word."""
    found = re.match(r"v?(\d+(?:\.\d+)*)", version.strip().lower())
    return tuple(int(part) for part in found[1].split(".")) if found else ()


KIND_SPELLINGS = {
    "closed": CLOSED_LOOP,
    "fixed_concurrency": CLOSED_LOOP,
    "open": OPEN_LOOP,
    "poisson": OPEN_LOOP,
    "burst": ALL_AT_ONCE,
    "offline": OFFLINE_MAX,
    "offline_throughput": OFFLINE_MAX,
    "max_throughput": OFFLINE_MAX,
    "static": STATIC_BATCH,
    "disagg": DISAGGREGATED,
    "disagg_closed": DISAGGREGATED,
    "disaggregated_open": DISAGGREGATED_OPEN,
}
"""Other names of the kinds."""


def _kind(row: dict[str, str]) -> str:
    text = row.get("kind", "").strip().lower().replace(" ", "_").replace("-", "_")
    text = KIND_SPELLINGS.get(text, text)
    if not text:
        return CLOSED_LOOP
    if text not in KINDS:
        raise UnusableRow(f"kind = {text!r} is not known; known: {', '.join(KINDS)}")
    if text in {OPEN_LOOP, DISAGGREGATED_OPEN} and not math.isfinite(_time(row.get("request_rate", ""))):
        raise UnusableRow(f"request_rate = {row.get('request_rate', '')!r}: an open loop needs a rate above zero")
    return text


ASSUMED_ONE = ("pp_size", "attention_dp_size")


LONGEST_PLAYED, MOST_AT_ONCE = 300_000, 10_000


def _playable(row: dict[str, str], kind: str) -> None:
    """Refuse what is played request by request and would take hours.

    Raises:
        UnusableRow: requests are longer, or more come at once, than a played run may have.
    """
    if kind not in {OPEN_LOOP, ALL_AT_ONCE, DISAGGREGATED_OPEN}:
        return
    tokens, requests = _count(row, "isl") + _count(row, "osl"), _count(row, "concurrency")
    if tokens > LONGEST_PLAYED:
        raise UnusableRow(
            f"isl + osl = {tokens:,}: open loops are played with requests of up to {LONGEST_PLAYED:,} tokens"
        )
    if kind == ALL_AT_ONCE and requests > MOST_AT_ONCE:
        raise UnusableRow(f"concurrency = {requests:,}: up to {MOST_AT_ONCE:,} requests at once are played")


def _pool(row: dict[str, str], side: str) -> MeasuredPool | None:
    """Workers of one side, where the row has its columns."""
    if not row.get(f"{side}_num_workers", "").strip():
        return None
    names = ("num_workers", "tp_size", "pp_size", "attention_dp_size")
    workers, tp, pp, ranks = (
        1 if name in ASSUMED_ONE and not row.get(f"{side}_{name}", "").strip() else _count(row, f"{side}_{name}")
        for name in names
    )
    name = f"{side}_moe_ep_size"
    ep = 1 if row.get(name, "").strip() in {"", "0"} else _count(row, name)
    return MeasuredPool(workers, tp, pp, ranks, ep)


INSTANCES = re.compile(r"\b(\d+) ?(?:x )?prefill\b.{0,20}?\b(\d+) ?(?:x )?decode|\b(\d+)p(\d+)d\b")
"""Prefill and decode instances as notes and names count them: "1 prefill + 3 decode instances", "1P3D"."""


def _instances(row: dict[str, str]) -> tuple[int, int]:
    """Prefill and decode instances of a row without columns of pools: what its note or its id says, else one of each."""
    found = INSTANCES.search(f"{row.get('note', '')} {row.get('id', '').replace('_', ' ')}".lower())
    if found is None:
        return 1, 1
    x, y = (int(one) for one in found.groups() if one is not None)
    if not (1 <= x <= LARGEST_DEGREE and 1 <= y <= LARGEST_DEGREE):
        raise UnusableRow(f"{found[0]!r}: from 1 to {LARGEST_DEGREE:,} instances of each were expected")
    return x, y


TIMES = "ttft_ms", "ttft_p50_ms", "ttft_p99_ms", "tpot_ms", "tpot_p50_ms", "tpot_p99_ms"
"""Columns of times, in the order of the schema."""
SHIFTED = (
    "read one column to the left: ttft_ms is output_tok_s times the tokens of a request, so that they are total tokens/s and "
    "requests/s, and the times between belong to the columns before theirs; the P99 of TPOT is missing"
)
SAME_FIGURE, MOST_ABOVE_RATE = 0.02, 1.1


def _in_place(row: dict[str, str], kind: str) -> tuple[dict[str, str], str]:
    """A row of an open loop with its figures in their own columns, and how it was read.

    Where ttft_ms is output_tok_s times the tokens of a request, and output_tok_s no more than the rate of requests, the two are total
    tokens/s and requests/s: the figures between them stand one column behind their own, and the P99 of TPOT is missing.
    """
    total, answered, rate = (_time(row.get(name, "")) for name in ("ttft_ms", "output_tok_s", "request_rate"))
    if kind not in {OPEN_LOOP, DISAGGREGATED_OPEN} or not math.isfinite(total * answered * rate):
        return row, ""
    output = _count(row, "osl")
    of_one = _count(row, "isl") + output
    if abs(total / (answered * of_one) - 1) > SAME_FIGURE or answered > MOST_ABOVE_RATE * rate:
        return row, ""
    moved = {to: row.get(of, "") for to, of in itertools.pairwise(TIMES)}
    return {**row, **moved, TIMES[-1]: "", "output_tok_s": f"{answered * output:.6g}"}, SHIFTED


def _says(row: dict[str, str], *words: str) -> bool:
    text = row.get("note", "").lower()
    return any(word in text for word in words)


def _tensor_parallel(row: dict[str, str], pp: int, ranks: int) -> int:
    """The stated TP, else what the GPUs leave per stage and rank."""
    if row.get("tp", "").strip():
        return _count(row, "tp")
    if not row.get("gpus", "").strip():
        raise UnusableRow("tp is empty, and so is gpus")
    gpus = _count(row, "gpus")
    if gpus % (pp * ranks):
        raise UnusableRow(f"tp is empty, and {gpus} GPUs are no multiple of {pp} stages x {ranks} ranks")
    return gpus // (pp * ranks)


def _count(row: dict[str, str], name: str) -> int:
    text = row.get(name, "").strip()
    if not text and name in DEFAULTS:
        return DEFAULTS[name]
    if not text:
        raise UnusableRow(f"{name} is empty")
    try:
        value = float(text)
    except ValueError:
        raise UnusableRow(f"{name} = {text!r} is not a number") from None
    largest = LARGEST.get(name, LARGEST_DEGREE)
    if not (math.isfinite(value) and value == int(value) and 1 <= value <= largest):
        raise UnusableRow(f"{name} = {text} is not a whole number from 1 to {largest:,}")
    return int(value)


def _time(text: str) -> float:
    """Milliseconds above zero, else NaN."""
    try:
        value = float(text)
    except ValueError:
        return math.nan
    return value if math.isfinite(value) and value > 0 else math.nan
