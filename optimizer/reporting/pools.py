"""The report of prefill and decode pools: what each carries, what the link moves, what a request takes, how they are started."""

from __future__ import annotations

from collections.abc import Sequence

from optimizer.explain.common.numbers import count, milliseconds
from optimizer.facts.inventory import InventoryProblem
from optimizer.facts.problem import Problem
from optimizer.render.text import costs_sentence, verification_sentence
from optimizer.reporting.document import Block, Bullets, Cell, Column, Commands, Section, Table, Text, Verdict
from optimizer.reporting.folding import facts_gists, folded
from optimizer.reporting.inventory import placement_section, points, rules_section
from optimizer.reporting.key_figures import KEY_FIGURES
from optimizer.reporting.ledger import Ledger, ms, number, share, total
from optimizer.results.cluster_pools import ClusterPoolsAnswer, ClusterPoolsMetrics
from optimizer.results.place_pools import ROLES, place_pools
from optimizer.results.pools import PoolMetrics, PoolsAnswer, PoolsMetrics, PoolsStrategy, PoolStrategy

DOCS = "docs/disaggregated.md"
TIMES = (
    ("Prefill of the prompt", ("prefill_p50_ms", "prefill_p99_ms"), "section 2"),
    ("Transfer of its cache, no other in the way", ("transfer_ms", "transfer_longest_ms"), "section 3"),
    ("Arrival to first token", ("ttft_p50_ms", "ttft_p99_ms"), "section 5"),
    ("From one output token to the next", ("tpot_p50_ms", "tpot_p99_ms"), "section 4"),
)
"""Words, metrics at P50 and P99 (the transfer: of the mean and the longest prompt), and where the formula is."""


FIGURES = (
    Column("gpus", "GPUs", right=True), Column("nodes", "Nodes", right=True),
        Column("sent", "Sent to each", right=True), Column("carries", "Carries in all", right=True), Column("busy", "Busy", right=True),
        Column("link", "Link busy", right=True), Column("weights", "Weights a GPU", right=True),
        Column("cache", "Cache wanted", right=True),
)  # fmt: skip
"""Columns of what ``pool_figures`` says."""
AnyPoolsAnswer = PoolsAnswer | ClusterPoolsAnswer


def pools_verdict(answer: AnyPoolsAnswer, serving: str) -> tuple[Verdict, str]:
    """The verdict and its headline; with ``serving: any`` an infeasible answer opens with the kinds that were looked at."""
    checked = answer.optimum is not None
    if answer.status == "unknown" or (checked and answer.feasible is None):
        return "unknown", "Not decided within the time limit"
    if answer.strategy is None:
        every_kind = serving == "any" and answer.explanation
        return "fail", answer.explanation[0].rstrip(".") if every_kind else "No pair of pools keeps every rule"
    broken = [rule for rule in answer.rules if rule.enabled and not rule.holds]
    if broken or answer.feasible is False:
        return "fail", f"{answer.label} breaks {', '.join(rule.id for rule in broken) or 'a rule'}"
    if answer.status == "optimal":
        return "pass", f"{answer.label} keeps every rule and is proved best"
    return "pass", f"{answer.label} keeps every rule; whether it is the best is not proved"


def pools_sections(problem: Problem, answer: PoolsAnswer, ledger: Ledger) -> list[Section]:
    """Every section, the summary first."""
    advice = advice_sections(answer)
    if answer.strategy is None or answer.metrics is None:
        return [summary_section(answer, ledger), *advice]
    pools = _pools(problem, answer.strategy, answer.metrics, ledger)
    requests = requests_section(answer, answer.metrics, ledger)
    _totals(problem, answer.strategy, answer.metrics, ledger)
    placement = place_pools(problem, answer.strategy)
    sections = [
        summary_section(answer, ledger),
        pools,
        requests,
        placement_section(placement.instances),
        rules_section(answer.rules),
        launch_section(problem, answer),
        *advice,
    ]
    gists = {
        **facts_gists(problem),
        "placement": f"the GPUs of {count(len(placement.instances), 'instance')}, one by one",
        "launch": f"commands for {problem.engine}",
    }
    return folded(sections, gists)


def _pools(problem: Problem, strategy: PoolsStrategy, metrics: PoolsMetrics, ledger: Ledger) -> Section:
    columns = (
        Column("pool", "Pool"), Column("shape", "Instances"), *FIGURES,
    )  # fmt: skip
    rows: list[tuple[Cell, ...]] = []
    for role in ROLES:
        pool: PoolStrategy = getattr(strategy, role)
        held: PoolMetrics = getattr(metrics, role)
        rows.append((role, pool.label, *pool_figures(problem.workload.requests_per_s, role, pool, held, ledger)))
    said = (
        f"{problem.model.name} on {problem.engine}: {problem.workload.requests_per_s:g} requests/s of "
        f"{problem.workload.prompt_tokens:g} prompt and {problem.workload.output_tokens:g} output tokens in the mean. "
        f"Weights are {strategy.prefill.weight_precision}, the cache is {strategy.prefill.kv_precision}; "
        f"a decode rank runs up to {strategy.decode.max_num_seqs} sequences."
    )
    return Section("pools", "Pools", (Text((said,)), Table("pools", columns, tuple(rows))))


def pool_figures(
    rate: float, role: str, pool: PoolStrategy, held: PoolMetrics, ledger: Ledger, group: str = ""
) -> list[Cell]:
    """The figures of a pool's row: GPUs, nodes, what it is sent and carries, how busy it and its link are, weights, cache.

    Args:
        rate: requests/s that it is sent.
        role: prefill or decode.
        group: of an inventory, on which the pool, or this part of it, stands.
    """
    id, name = (f"{role}-{group}", f"{role} pool on {group}") if group else (role, f"{role} pool")
    gpus = ledger.derive(
        f"gpus-{id}", f"GPUs of the {name}", "instances × GPUs of one", f"{pool.instances} × {pool.instance_gpus}",
        pool.gpus, "GPUs",
    )  # fmt: skip
    sent = ledger.derive(
        f"sent-{id}", f"Requests sent to an instance of the {name}", "requests/s / instances",
        f"{number(rate)} requests/s / {pool.instances}", rate / pool.instances, "requests/s", note="the router takes turns",
    )  # fmt: skip
    carries = ledger.given(
        f"carries-{id}", f"Requests that the {name} works off at most", held.capacity_per_s, "requests/s",
        f"{DOCS}, section 6: {'x · d / E[θ]' if role == 'prefill' else 'y · d · the most n / R(n)'}",
    )  # fmt: skip
    busy: Cell = "requests pile up"
    if held.busy is not None:
        numbers = f"{number(rate, 12)} / {number(held.capacity_per_s, 12)} × 100%" if role == "decode" else ""
        busy = ledger.derive(
            f"busy-{id}", f"Share of the capacity of the {name} that is used", "requests/s / what it works off at most",
            numbers, held.busy * 100, "%", note=f"{DOCS}, sections 2 and 4", inputs=(f"carries-{id}",),
        )  # fmt: skip
    link: Cell = "requests pile up"
    if held.link_busy is not None:
        link = ledger.given(
            f"link-{id}", f"Share of the time that the link of a GPU of the {name} moves cache", held.link_busy * 100, "%",
            f"{DOCS}, section 3",
        )  # fmt: skip
    weights = ledger.given(
        f"weights-{id}", f"Weights on a GPU of the {name}", held.weights_bytes_per_gpu, "B", "docs/model.md, section 2"
    )
    cache: Cell = "requests pile up"
    if held.cache_wanted_bytes_per_gpu is not None and held.cache_room_bytes_per_gpu:
        wanted = ledger.given(
            f"wanted-{id}", f"Cache wanted on a GPU of the {name} at P99", held.cache_wanted_bytes_per_gpu, "B",
            f"{DOCS}, section 4",
        )  # fmt: skip
        part = ledger.derive(
            f"cache-{id}", f"Share of the room for cache on a GPU of the {name} that is wanted", "cache wanted / room",
            f"{number(held.cache_wanted_bytes_per_gpu)} B / {number(held.cache_room_bytes_per_gpu)} B × 100%",
            held.cache_wanted_bytes_per_gpu / held.cache_room_bytes_per_gpu * 100, "%", inputs=(f"wanted-{id}",),
        )  # fmt: skip
        cache = Text((wanted, ", ", part, " of the room"))
    return [gpus, f"{pool.nodes:,}", sent, carries, busy, link, weights, cache]


def requests_section(answer: AnyPoolsAnswer, metrics: PoolsMetrics | ClusterPoolsMetrics, ledger: Ledger) -> Section:
    """Times of a request at both percentiles."""
    columns = (Column("what", "Time"), Column("p50", "P50", right=True), Column("p99", "P99", right=True))
    rows: list[tuple[Cell, ...]] = []
    for words, fields, where in TIMES:
        cells: list[Cell] = []
        for field, at in zip(fields, ("P50", "P99"), strict=True):
            value: float | None = getattr(metrics, field)
            cells.append(
                "requests pile up"
                if value is None
                else ledger.given(field, f"{words}, {at}", value, "ms", f"{DOCS}, {where}")
            )
        rows.append((words, *cells))
    blocks: list[Block] = [Table("times", columns, tuple(rows))]
    if metrics.request_mean_ms is not None:
        mean = ledger.given(
            "request_mean_ms", "Arrival to last token, mean", metrics.request_mean_ms, "ms", f"{DOCS}, section 5"
        )
        blocks.append(Text(("A whole request takes ", mean, " in the mean. ")))
    blocks.append(
        Text(
            (
                f"The cache crosses {answer.link}; nothing is taken to overlap with it. The transfer's columns are the mean and the "
                "longest prompt.",
            )
        )
    )
    return Section("requests", "What a request takes", tuple(blocks))


def _totals(problem: Problem, strategy: PoolsStrategy, metrics: PoolsMetrics, ledger: Ledger) -> None:
    work, hardware = problem.workload, problem.hardware
    ledger.derive(
        "gpus-used", "GPUs in use", "those of both pools", f"{strategy.prefill.gpus} + {strategy.decode.gpus}", strategy.gpus, "GPUs",
        inputs=("gpus-prefill", "gpus-decode"),
    )  # fmt: skip
    ledger.derive(
        "tokens_per_s", "Output tokens per second at the demand", "requests per second × output tokens",
        f"{number(work.requests_per_s)} requests/s × {work.output_tokens}", metrics.tokens_per_s, "tokens/s",
    )  # fmt: skip
    ledger.given(
        "max_request_rate", "Largest request rate within all limits", metrics.max_request_rate, "requests/s",
        f"{DOCS}: the largest rate in steps of 0.001 requests/s at which every rule of the load holds",
    )  # fmt: skip
    ledger.given(
        "availability", "Requests served, failures counted", metrics.availability * 100, "%", f"{DOCS}, section 6",
        text=share(metrics.availability),
    )  # fmt: skip
    if hardware.price_per_gpu_hour is not None:
        hourly = hardware.price_per_gpu_hour * strategy.gpus
        ledger.derive(
            "price_per_hour", "Price per hour", "GPUs in use × price of a GPU-hour",
            f"{strategy.gpus} × {number(hardware.price_per_gpu_hour)}", hourly, "", text=f"{hourly:,.2f}",
            note="hardware.price_per_gpu_hour",
        )  # fmt: skip


def summary_section(answer: AnyPoolsAnswer, ledger: Ledger) -> Section:
    """Key figures, what is said of the answer, and what it rests on."""
    rows: list[tuple[Cell, ...]] = []
    if answer.objective is not None:
        terms = {name: value for name, value in answer.objective.terms.items() if value}
        rows.append(
            (
                "Expected per request, failures counted",
                ledger.derive(
                    "objective", "Expected per request over all failure states", " + ".join(terms) or "nothing",
                    total([ms(value) for value in terms.values()]), answer.objective.value, "ms", note=f"{DOCS}, section 6",
                ),
            )
        )  # fmt: skip
    rows += [(words, ledger.figure(name)) for name, words in KEY_FIGURES if name in ledger]
    blocks: list[Block] = []
    if rows:
        columns = (Column("what", "Figure"), Column("value", "Value", right=True))
        blocks.append(Table("key-figures", columns, tuple(rows)))
    blocks.append(points(answer.explanation))
    said = [
        verification_sentence(answer.verification, answer.status),
        costs_sentence("analytic").strip(),
        *answer.search_limits,
    ]
    wrong = [
        f"MISMATCH {one.what}: expected {one.expected}, found {one.actual}" for one in answer.verification.mismatches
    ]
    folds = "What was verified, what costs rest on, and what was not considered" if answer.verification.passed else ""
    blocks.append(Bullets((*points(said).items, *points(wrong, "fail").items), folds))
    return Section("summary", "Summary and verdict", tuple(blocks))


def launch_section(problem: Problem | InventoryProblem, answer: AnyPoolsAnswer) -> Section:
    """One instance of each pool, and the router, of what is verified."""
    from optimizer.deployment.pools import pools_launch_lines

    if not answer.verification.passed:
        return Section("launch", "Launch commands", (Text(("None are given: the answer is not verified.",)),))
    lines: Sequence[str] = pools_launch_lines(problem, answer)
    return Section(
        "launch", "Launch commands", (Commands("One instance of each pool, and the router", "bash", "\n".join(lines)),)
    )


def advice_sections(answer: AnyPoolsAnswer) -> list[Section]:
    """Conflicts, repairs and the best there is; empty where there is nothing to say."""
    said = [conflict.sentence for conflict in answer.conflicts]
    said += [repair.sentence for repair in answer.repairs]
    best = answer.optimum
    if best is not None and best.strategy is not None and best.objective is not None:
        said.append(f"The best pair of pools is {best.label}: {milliseconds(best.objective.value)} per request.")
    return [Section("recommendations", "Recommendations", (points(said),))] if said else []
