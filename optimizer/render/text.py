"""Answers as people read them in a terminal: rich tables and sentences. No arithmetic beyond units."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from optimizer.explain.common.numbers import amount, milliseconds
from optimizer.render.columns import output_width
from optimizer.results.answer import (
    Answer,
    CheckAnswer,
    Metrics,
    ModelRead,
    Repair,
    RuleResult,
    Simulation,
    Status,
    Verification,
)

if TYPE_CHECKING:
    from optimizer.results.inventory import InventoryRepair

STATUS_WORDS = {
    "optimal": "proved best",
    "feasible": "feasible",
    "infeasible": "proved infeasible",
    "unknown": "not decided within the time limit",
}

REPAIRS_TITLE = "Repairs, each the least change, solved again and verified (--apply-repair N --out FILE):"


def console(width: int | None = None) -> Console:
    """Standard output; plain when it is not a terminal or NO_COLOR is set.

    Args:
        width: characters of a table in a pipe; left out, those that COLUMNS names, or 118.
    """
    plain = not sys.stdout.isatty()
    width = (width or output_width()) if plain else None
    return Console(file=sys.stdout, highlight=False, markup=False, emoji=False, width=width, soft_wrap=plain)


def print_answer(answer: Answer, *, full: bool = True, launch: Sequence[str] = ()) -> None:
    """The answer of ``solve``: one screen, or every table (``full``); ``launch`` are the sentences that start it."""
    out = console()
    _headline(out, answer)
    _sentences(out, answer.explanation)
    repair_lines(out, answer.repairs, REPAIRS_TITLE)
    if answer.metrics:
        _metrics(out, answer.metrics, said="" if full else " ".join(answer.explanation))
    if full:
        _breakdown(out, answer)
        simulation_table(out, answer.simulation)
        rules_lines(out, answer.rules)
        if answer.alternatives:
            _alternatives(out, answer)
    else:
        simulation_sentences(out, answer)
    launch_and_next(out, launch, full=full, found=answer.strategy is not None)
    _footer(out, answer, full=full)


def print_check(answer: CheckAnswer, *, full: bool = True, launch: Sequence[str] = ()) -> None:
    """The answer of ``check``: the strategy's rules, broken ones first, and the optimum beside it; arguments as above."""
    out = console()
    words = {True: "feasible", False: "not feasible", None: "not decided"}[answer.feasible]
    label = answer.strategy.label if answer.strategy else "strategy"
    style = {True: "bold green", False: "bold red", None: "bold yellow"}[answer.feasible]
    out.print(Text.assemble((f"{answer.problem}: {label} is {words}", style)))
    _sentences(out, answer.explanation)
    repair_lines(out, answer.repairs, REPAIRS_TITLE)
    best = answer.optimum
    if answer.metrics:
        beside = best.metrics if best else None
        name = best.strategy.label if best and best.strategy else ""
        _metrics(out, answer.metrics, beside, label, f"best: {name}")
    if full:
        _breakdown(out, answer)
        simulation_table(out, answer.simulation)
        rules_lines(out, answer.rules)
    else:
        simulation_sentences(out, answer)
    launch_and_next(out, launch, full=full, found=answer.strategy is not None)
    _footer(out, answer, full=full)


def within_words(within: str, cut_by: Sequence[str]) -> str:
    """Behind "proved infeasible": of what, and which limits of the search make it so, where they are known."""
    return f" within the {within}" + (f" ({', '.join(cut_by)})" if cut_by else "")


def _headline(out: Console, answer: Answer) -> None:
    style = {"optimal": "bold green", "feasible": "bold yellow", "infeasible": "bold red", "unknown": "bold yellow"}
    what = answer.strategy.label if answer.strategy else "no strategy"
    word, shown = STATUS_WORDS[answer.status], style[answer.status]
    if answer.verification.checks and not answer.verification.passed:
        word, shown = "NOT confirmed by the independent verification", "bold red"
    elif answer.within:
        word += within_words(answer.within, answer.cut_by)
    out.print(Text.assemble((f"{answer.problem}: {what} — {word}", shown)))


def _sentences(out: Console, sentences: Iterable[str]) -> None:
    for sentence in sentences:
        out.print(Text("  " + sentence))


def repair_lines(out: Console, repairs: Sequence[Repair | InventoryRepair], title: str) -> None:
    """Repairs under a title, numbered as ``--apply-repair`` counts them; nothing when there are none."""
    if not repairs:
        return
    out.print()
    out.print(Text(f"  {title}"))
    for number, repair in enumerate(repairs, start=1):
        out.print(Text(f"  {number}. {repair.sentence}"))


def table_of(*columns: tuple[str, bool]) -> Table:
    """An empty table; a column is its title and whether it is aligned to the right."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for title, right in columns:
        table.add_column(title, justify="right" if right else "left", overflow="fold")
    return table


def _metrics(
    out: Console,
    metrics: Metrics,
    beside: Metrics | None = None,
    name: str = "value",
    beside_name: str = "",
    said: str = "",
) -> None:
    """A line a figure; those that the sentences ``said`` already have are left out."""
    columns = [("metric", False), (name, True)]
    if beside:
        columns.append((beside_name, True))
    table = table_of(*columns)
    rows = _metric_rows(metrics, power=not said)
    other = _metric_rows(beside, power=not said) if beside else rows
    for (title, value), (_, second) in zip(rows, other, strict=True):
        if _SAID_AS.get(title, title) in said:
            continue
        table.add_row(title, value, *([second] if beside else []))
    out.print()
    out.print(table)


_SAID_AS = {
    "KV cache of a replica": "The KV cache of a replica holds",
    "longest sequence served": "it serves sequences up to",
    "memory of the fullest GPU": "the fullest GPU holds",
}
"""How sentences begin that say what a line of the table says."""


def _metric_rows(m: Metrics, *, power: bool) -> list[tuple[str, str]]:
    def pair(first: float | None, second: float | None) -> str:
        return " / ".join("piles up" if v is None else milliseconds(v) for v in (first, second))

    return [
        ("time to first token P50 / P99", pair(m.ttft_p50_ms, m.ttft_p99_ms)),
        ("prefill P50 / P99", pair(m.prefill_p50_ms, m.prefill_p99_ms)),
        ("time per output token P50 / P99", pair(m.tpot_p50_ms, m.tpot_p99_ms)),
        ("whole request, mean", amount(m.request_mean_ms, "ms")),
        *([("requests within every goodput limit, at least", f"{m.goodput:.2%}")] if m.goodput is not None else []),
        (
            "sequences in progress per replica P50 / P99",
            f"{_or_dash(m.concurrency_p50)} / {_or_dash(m.concurrency_p99)}",
        ),
        ("largest request rate within all limits", amount(m.max_request_rate, "requests/s")),
        ("output tokens: at the demand / at most", f"{m.tokens_per_s:,.0f} / {m.peak_tokens_per_s:,.0f} tokens/s"),
        ("weights on the fullest GPU", amount(m.weights_bytes_per_gpu, "bytes")),
        ("KV cache on the fullest GPU", amount(m.kv_cache_bytes_per_gpu, "bytes")),
        ("KV cache of a replica", f"{m.kv_cache_tokens:,} tokens"),
        ("longest sequence served", f"{m.max_sequence_tokens:,} tokens"),
        ("memory of the fullest GPU", f"{amount(m.memory_bytes_per_gpu, 'bytes')} ({m.memory_utilization:.1%})"),
        ("requests served, failures counted", f"{m.availability:.5%}"),
        *_bill_rows(m, power=power),
    ]


def _bill_rows(m: Metrics, *, power: bool) -> list[tuple[str, str]]:
    """Price, where one is stated, and the most power beside it, or wherever every table is shown."""
    found = []
    if m.price_per_hour is not None:
        tokens = m.price_per_million_output_tokens
        words = "–" if tokens is None else f"{tokens:,.2f}"
        found.append(("price per hour / per million output tokens", f"{m.price_per_hour:,.2f} / {words}"))
    if m.kilowatts_at_most is not None and (power or m.price_per_hour is not None):
        each = m.kwh_per_million_output_tokens_at_most
        kwh = "–" if each is None else f"{each:,.2f} kWh"
        found.append(("board power / per million output tokens, at most", f"{m.kilowatts_at_most:,.1f} kW / {kwh}"))
    return found


def _or_dash(value: int | None) -> str:
    return "piles up" if value is None else str(value)


def _breakdown(out: Console, answer: Answer) -> None:
    terms = answer.breakdown
    if terms is None:
        return
    stages = terms["memory_bytes_by_stage"]
    fullest = max(stages, key=lambda stage: sum(stage.values()))
    memory = table_of(("memory of the fullest GPU", False), ("", True))
    for name, value in fullest.items():
        memory.add_row(name, amount(value, "bytes"))
    times = table_of((f"one token for {terms['sequences_in_progress']} running sequences", False), ("", True))
    for name, value in terms["decode_ms"].items():
        times.add_row(name, milliseconds(value))
    prompt = table_of(("one prompt", False), ("", True))
    for name, value in terms["prefill_ms"].items():
        prompt.add_row(name, milliseconds(value))
    grid = Table.grid(padding=(0, 4))
    grid.add_row(memory, times, prompt)
    out.print()
    out.print(grid)


SIMULATED = {
    "prefill": "prefill P50 / P99",
    "ttft": "time to first token P50 / P99",
    "tpot": "time per output token P50 / P99",
    "e2e": "whole request P50 / P99",
}


def simulation_table(out: Console, seen: Simulation | None) -> None:
    """Simulated percentiles and what they say against the formulas; nothing where there was no simulation."""
    if seen is None:
        return
    table = table_of(("simulated (± 95 % interval)", False), ("P50", True), ("P99", True))
    for metric, title in SIMULATED.items():
        cells = [seen.percentiles.get(f"{metric}_p{percentile}_ms") for percentile in (50, 99)]
        if all(cells):
            table.add_row(title.split(" P50")[0], *[f"{milliseconds(c[0])} ± {milliseconds(c[1])}" for c in cells if c])
    out.print()
    out.print(table)
    verdict = (
        "every stated limit holds in simulation" if seen.limits_hold else "NOT every stated limit holds in simulation"
    )
    out.print(Text(f"  {seen.requests:,} requests ({seen.arrivals}; seed {seen.seed}): {verdict}."))
    for sentence in seen.disagreements:
        out.print(Text(f"  {sentence}"))


def rules_lines(out: Console, rules: tuple[RuleResult, ...]) -> None:
    """Every rule with its limit, what it is and its slack; nothing when there are none."""
    if not rules:
        return
    table = table_of(("", False), ("rule", False), ("limit", True), ("actual", True), ("slack", True))
    for rule in rules:
        mark = (
            Text("off", "dim")
            if not rule.enabled
            else Text("ok", "green")
            if rule.holds
            else Text("BROKEN", "bold red")
        )
        slack = "" if rule.slack is None else amount(rule.slack, rule.unit)
        sentence = Text(rule.sentence)
        table.add_row(mark, sentence, amount(rule.limit, rule.unit), amount(rule.actual, rule.unit), slack)
    out.print()
    out.print(table)


def _alternatives(out: Console, answer: Answer) -> None:
    ahead = any(other.difference < 0 for other in answer.alternatives)
    table = table_of(
        ("next best", False),
        ("GPUs", True),
        ("sequences", True),
        ("objective", True),
        ("difference" if ahead else "worse by", True),
        ("TTFT P99", True),
        ("TPOT P99", True),
    )
    for other in answer.alternatives:
        table.add_row(
            other.strategy.label,
            str(other.strategy.gpus),
            str(other.strategy.max_num_seqs),
            milliseconds(other.objective),
            f"{'−' if other.difference < 0 else '+'}{milliseconds(abs(other.difference))}"
            if ahead
            else milliseconds(other.difference),
            amount(other.metrics.ttft_p99_ms, "ms"),
            amount(other.metrics.tpot_p99_ms, "ms"),
        )
    out.print()
    out.print(table)


def simulation_sentences(out: Console, answer: Answer) -> None:
    """What the simulation says against the formulas, without its table; nothing where there was none."""
    seen = answer.simulation
    if seen is None:
        return
    out.print()
    holds = "every stated limit holds" if seen.limits_hold else "NOT every stated limit holds"
    out.print(Text(f"  Simulated request by request ({seen.requests:,} requests, {seen.arrivals}): {holds}."))
    for sentence in seen.disagreements:
        out.print(Text(f"  {sentence}"))


def launch_and_next(out: Console, launch: Sequence[str], *, full: bool, found: bool) -> None:
    """How to start what was found, and the questions that people ask next."""
    if launch:
        out.print()
        for sentence in launch:
            out.print(Text("  " + sentence))
    if not full:
        deploy = "optimizer deploy writes every launch file, optimizer report the report; " if found else ""
        out.print()
        out.print(
            Text(f"  Next: --full shows every rule with its slack and every table; {deploy}README.md lists the rest.")
        )


def _footer(out: Console, answer: Answer, *, full: bool = True) -> None:
    out.print()
    for sentence in model_sentences(answer.model, answer.assumed, full=full):
        out.print(Text("  " + sentence, "dim"))
    for sentence in answer.search_limits if full else ():
        out.print(Text("  " + sentence, "dim"))
    verification_lines(out, answer.verification, answer.status)
    out.print(Text(costs_sentence(answer.cost_source), "dim"))


def model_sentences(model: ModelRead | None, assumed: Sequence[str] = (), *, full: bool) -> list[str]:
    """The model's size (``full``) and what was assumed of it and of the hardware, which every answer says."""
    notes = [f"Hardware: {note}." for note in assumed]
    if model is None:
        return notes
    notes = [*(f"Model: {note}." for note in model.notes), *notes]
    return [model.sentence, *notes] if full else notes


def verification_lines(out: Console, verification: Verification, status: Status, *, sets: bool = False) -> None:
    """What the verifier did, and every mismatch; ``status`` and ``sets`` as for ``verification_sentence``."""
    said = verification_sentence(verification, status, sets=sets)
    out.print(Text("  " + said, "" if verification.passed else "bold red"))
    for mismatch in verification.mismatches:
        out.print(
            Text(f"  MISMATCH {mismatch.what}: expected {mismatch.expected}, found {mismatch.actual}", "bold red")
        )


def costs_sentence(source: str) -> str:
    """Where times come from."""
    if source == "analytic":
        return "  Costs: analytic model, predicted and not measured (docs/model.md)."
    return f"  Costs: {source}; the analytic model where it says nothing (docs/model.md, section 9)."


def verification_sentence(verification: Verification, status: Status, *, sets: bool = False) -> str:
    """What the independent verifier did.

    Args:
        verification: of an answer.
        status: of that answer.
        sets: candidates are sets of instances, of which bounds leave few to look at one by one.
    """
    if not verification.checks:
        return "Not verified: there was nothing to recompute."
    proof = {
        "exhaustive": f"; {_enumerated(verification, status, sets)}",
        "bound": f"; {'that nothing works rests on the solver alone' if status == 'infeasible' else 'optimality rests on value = bound'}",
        "refuted": f"; {'that nothing works was' if status == 'infeasible' else 'optimality'} REFUTED",
    }.get(verification.optimality, "")
    outcome = "all agree" if verification.passed else "NOT all agree"
    resolution = f" ({verification.resolution})" if verification.resolution else ""
    return f"Verified: {verification.checks} numbers and rules recomputed in exact arithmetic, {outcome}{proof}{resolution}."


def _enumerated(verification: Verification, status: Status, sets: bool) -> str:
    if sets and not verification.ruled_out:
        looked = f"its own bounds left {verification.compared:,} to look at one by one"
        if status == "infeasible":
            return f"no set of instances keeps every rule ({looked})"
        return f"optimality confirmed against all sets of instances ({looked})"
    looked = _looked_at(verification)
    what = f"{_many(verification.candidates)} {'sets of instances' if sets else 'candidates'}"
    if status == "infeasible":
        return f"none of all {what} keeps every rule{looked}"
    return f"optimality confirmed against all {what}{looked}"


def _many(count: int) -> str:
    """A count; of very many the size alone, since nobody reads twenty digits."""
    if count < 10**9:
        return f"{count:,}"
    digits = str(count)
    return f"{digits[0]}.{digits[1]} x 10^{len(digits) - 1}"


def _looked_at(verification: Verification) -> str:
    """How many candidates were compared one by one, and what ruled out the others."""
    if not verification.ruled_out:
        return ""
    others = [f"{_many(count)} ruled out by {what}" for what, count in verification.ruled_out.items() if count]
    return f" ({'; '.join([f'{verification.compared:,} compared one by one', *others])})"
