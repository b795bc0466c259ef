"""The report of an inventory's answer: instances, where each stands, what failures do to them, how they are started."""

from __future__ import annotations

from collections.abc import Sequence

from optimizer.explain.common.numbers import amount, count, milliseconds
from optimizer.facts.inventory import InventoryProblem
from optimizer.render.text import costs_sentence, verification_sentence
from optimizer.reporting.document import (
    Block,
    Bullets,
    Cell,
    Column,
    Commands,
    Figure,
    Mark,
    Picture,
    Section,
    Status,
    Table,
    Text,
    Verdict,
)
from optimizer.reporting.folding import folded
from optimizer.reporting.ledger import Ledger, number, share, total
from optimizer.reporting.pictures.placement import placement_svg, placement_words
from optimizer.results.answer import RuleResult
from optimizer.results.inventory import InventoryAnswer, instance_label
from optimizer.results.placement import PlacedInstance

MOST_PLACES = 64


def inventory_verdict(answer: InventoryAnswer) -> tuple[Verdict, str]:
    """The verdict and its headline, with the price where one is known."""
    verdict, headline = _judged(answer)
    if verdict == "pass" and answer.price_per_hour is not None:
        headline += f". Price: {answer.price_per_hour:,.2f} per hour"
    return verdict, headline


def _judged(answer: InventoryAnswer) -> tuple[Verdict, str]:
    checked = answer.optimum is not None
    if answer.status == "unknown" or (checked and answer.feasible is None):
        return "unknown", "Not decided within the time limit"
    if not answer.pools:
        return "fail", "No set of instances keeps every rule" + (" with these decisions" if checked else "")
    broken = [rule for rule in answer.rules if rule.enabled and not rule.holds]
    if broken or answer.feasible is False:
        return "fail", f"{answer.label} breaks {', '.join(rule.id for rule in broken) or 'a rule'}"
    if answer.status == "optimal":
        return "pass", f"{answer.label} keeps every rule and is proved best"
    if checked:
        return "pass", f"{answer.label} keeps every rule, but is not proved the best"
    return "pass", f"{answer.label} keeps every rule; whether it is the best is not proved"


def inventory_sections(problem: InventoryProblem, answer: InventoryAnswer, ledger: Ledger) -> list[Section]:
    """Every section, the summary first."""
    groups = groups_section(problem, ledger)
    if not answer.pools:
        return folded([_summary(answer, ledger), groups, *_advice(answer)], _gists(problem, answer))
    pools = _pools(problem, answer, ledger)
    _totals(problem, answer, ledger)
    sections = [
        _summary(answer, ledger),
        groups,
        pools,
        placement_section(answer.placement.instances if answer.placement else ()),
        rules_section(answer.rules),
        _failures(answer, ledger),
        _launch(problem, answer),
        *_advice(answer),
    ]
    return folded(sections, _gists(problem, answer))


def _gists(problem: InventoryProblem, answer: InventoryAnswer) -> dict[str, str]:
    """Sections that a page folds, each under a line; pools, failures and advice stay open."""
    placed = len(answer.placement.instances) if answer.placement else 0
    return {
        "inventory": f"{count(len(problem.groups), 'group')} with {count(problem.gpus, 'free GPU')}",
        "placement": f"the GPUs of {count(placed, 'instance')}, one by one",
        "launch": f"commands for {problem.engine}",
    }


def inventory_pictures(problem: InventoryProblem, answer: InventoryAnswer) -> dict[str, str]:
    """SVG of every picture, by its id."""
    return {"placement": placement_svg(problem, answer)} if answer.pools else {}


def groups_section(problem: InventoryProblem, ledger: Ledger) -> Section:
    rows: list[tuple[Cell, ...]] = []
    for group in problem.groups:
        free = ledger.derive(
            f"gpus-{group.name}", f"Free GPUs of {group.name}", "nodes × free GPUs of a node",
            f"{group.nodes} × {group.free_gpus}", group.gpus, "GPUs", note="cluster",
        )  # fmt: skip
        where = [f"rack {group.rack}"] if group.rack else [f"{group.racks} racks"] if group.racks else []
        where += [f"zone {group.zone}"] if group.zone else []
        price = "not stated" if group.price_per_gpu_hour is None else f"{group.price_per_gpu_hour:,.2f}"
        rows.append((group.name, group.gpu.name, f"{group.nodes:,}", free, ", ".join(where), price))
    ledger.derive(
        "gpus-free", "Free GPUs there are", "those of every group",
        total([number(group.gpus) for group in problem.groups]), problem.gpus, "GPUs",
        inputs=tuple(f"gpus-{group.name}" for group in problem.groups),
    )  # fmt: skip
    columns = (
        Column("group", "Group"), Column("gpu", "GPU"), Column("nodes", "Nodes", right=True),
        Column("free", "Free GPUs", right=True), Column("where", "Stands in"), Column("price", "Price of a GPU-hour", right=True),
    )  # fmt: skip
    load = problem.workload
    said = (
        f"{problem.model.name} on {problem.engine}: {load.requests_per_s:g} requests/s of {load.prompt_tokens:g} prompt and "
        f"{load.output_tokens:g} output tokens in the mean."
    )
    return Section("inventory", "Inventory and load", (Table("groups", columns, tuple(rows)), Text((said,))))


def _pools(problem: InventoryProblem, answer: InventoryAnswer, ledger: Ledger) -> Section:
    columns = (
        Column("pool", "Pool"), Column("shape", "Instance"), Column("group", "Group"), Column("instances", "Instances", right=True),
        Column("slots", "Slots each", right=True), Column("share", "Share", right=True), Column("sent", "Sent to each", right=True),
        Column("carries", "Carries each", right=True), Column("ttft", "TTFT P99", right=True),
        Column("tpot", "TPOT P99", right=True), Column("memory", "Fullest GPU", right=True),
    )  # fmt: skip
    rows: list[tuple[Cell, ...]] = []
    for index, pool in enumerate(answer.pools):
        metrics = pool.metrics
        sent = ledger.derive(
            f"sent-{index}", f"Requests sent to an instance of pool {index}", "requests/s × share / instances",
            f"{number(problem.workload.requests_per_s)} requests/s × {number(pool.share)} / {pool.instances}",
            pool.planned_rate, "requests/s", note="shares are whole thousandths; docs/inventories.md, section 4",
        )  # fmt: skip
        most = ledger.given(
            f"carries-{index}", f"Requests that an instance of pool {index} carries", pool.capacity, "requests/s",
            "the largest rate at which every limit holds; docs/inventories.md, section 3",
        )  # fmt: skip
        rows.append(
            (
                str(index), instance_label(pool.strategy), pool.where, f"{pool.instances:,}", str(pool.strategy.max_num_seqs),
                f"{pool.share:.1%}", sent, most, _ms(metrics.ttft_p99_ms), _ms(metrics.tpot_p99_ms),
                f"{metrics.memory_utilization:.0%}",
            )
        )  # fmt: skip
    return Section("pools", "Pools of equal instances", (Table("pools", columns, tuple(rows)),))


def _totals(problem: InventoryProblem, answer: InventoryAnswer, ledger: Ledger) -> None:
    pools = answer.pools
    ledger.derive(
        "gpus-used", "GPUs in use", "instances × GPUs of one, over the pools",
        total([f"{pool.instances} × {pool.strategy.gpus // pool.instances}" for pool in pools]), answer.gpus_used, "GPUs",
    )  # fmt: skip
    ledger.derive(
        "carried", "Largest request rate within all limits", "instances × rate that one carries, over the pools",
        total([f"{pool.instances} × {number(pool.capacity, 12)} requests/s" for pool in pools]),
        sum(pool.instances * pool.capacity for pool in pools), "requests/s",
        inputs=tuple(f"carries-{index}" for index in range(len(pools))),
    )  # fmt: skip
    if answer.reliability is not None:
        served = answer.reliability.availability
        ledger.given(
            "availability", "Requests served, failures counted", served * 100, "%",
            "the mean over all failure states; docs/inventories.md, section 5", text=share(served),
        )  # fmt: skip


def _summary(answer: InventoryAnswer, ledger: Ledger) -> Section:
    rows: list[tuple[Cell, ...]] = [
        (words, ledger.figure(name))
        for name, words in (
            ("gpus-used", "GPUs in use"),
            ("carried", "Largest request rate within all limits"),
            ("availability", "Requests served, failures counted"),
        )
        if name in ledger
    ]
    if answer.objective is not None:
        rows.append(
            (
                "Expected per request, failures counted",
                Figure(milliseconds(answer.objective.value), answer.objective.value, "ms"),
            )
        )
    if answer.price_per_hour is not None:
        rows.append(
            ("Price per hour of the GPUs in use", Figure(f"{answer.price_per_hour:,.2f}", answer.price_per_hour))
        )
    blocks: list[Block] = []
    if answer.pools:
        blocks.append(Picture("placement", "Where every instance stands", placement_words(answer), "placement.svg"))
    if rows:
        columns = (Column("what", "Figure"), Column("value", "Value", right=True))
        blocks.append(Table("key-figures", columns, tuple(rows)))
    blocks.append(points(answer.explanation))
    said = [
        verification_sentence(answer.verification, answer.status, sets=True),
        costs_sentence("analytic").strip(),
        *answer.search_limits,
    ]
    wrong = [
        f"MISMATCH {one.what}: expected {one.expected}, found {one.actual}" for one in answer.verification.mismatches
    ]
    folds = "What was verified, what costs rest on, and what was not considered" if answer.verification.passed else ""
    blocks.append(Bullets((*points(said).items, *points(wrong, "fail").items), folds))
    return Section("summary", "Summary and verdict", tuple(blocks))


def placement_section(instances: Sequence[PlacedInstance]) -> Section:
    """Every instance with its GPUs by node."""
    columns = (
        Column("instance", "Instance"), Column("shape", "Shape"), Column("share", "Share", right=True), Column("gpus", "GPUs"),
    )  # fmt: skip
    rows: list[tuple[Cell, ...]] = []
    for one in instances[:MOST_PLACES]:
        by_node: dict[str, list[str]] = {}
        for place in one.gpus:
            by_node.setdefault(place.node, []).append(str(place.index))
        where = "; ".join(f"{node}: {','.join(gpus)}" for node, gpus in by_node.items())
        rows.append((one.name, instance_label(one.strategy), f"{one.share:.1%}", where))
    blocks: list[Block] = [Table("placement", columns, tuple(rows))]
    if len(instances) > MOST_PLACES:
        blocks.append(Text((f"{len(instances) - MOST_PLACES:,} more instances are in report.json.",)))
    return Section("placement", "Placement", tuple(blocks))


def rules_section(rules: Sequence[RuleResult]) -> Section:
    """Every rule with limit, actual and slack, broken ones first."""
    columns = (
        Column("mark", "Outcome"), Column("rule", "Rule"), Column("limit", "Limit", right=True),
        Column("actual", "Actual", right=True), Column("slack", "To spare", right=True),
    )  # fmt: skip
    rows: list[tuple[Cell, ...]] = []
    broken = sum(rule.enabled and not rule.holds for rule in rules)
    for rule in sorted(rules, key=lambda rule: rule.holds or not rule.enabled):
        mark = (
            Status("warn", "off")
            if not rule.enabled
            else Status("pass", "holds")
            if rule.holds
            else Status("fail", "broken")
        )
        slack = "" if rule.slack is None else amount(rule.slack, rule.unit)
        rows.append((mark, rule.sentence, amount(rule.limit, rule.unit), amount(rule.actual, rule.unit), slack))
    others = f"{len(rows) - broken} rules that hold or are off, with limit, actual and slack"
    return Section("rules", "Rules", (Table("rules", columns, tuple(rows), "", others, broken),))


def _failures(answer: InventoryAnswer, ledger: Ledger) -> Section:
    blocks: list[Block] = []
    columns = (
        Column("level", "Lost"), Column("worst", "The worst that can be lost"), Column("instances", "Instances lost", right=True),
        Column("left", "Carried then", right=True), Column("needed", "Asked then", right=True), Column("mark", "Outcome"),
    )  # fmt: skip
    rows: list[tuple[Cell, ...]] = []
    for loss in answer.losses:
        enough = loss.capacity_left >= loss.needed - 1e-6
        left = ledger.given(
            f"left-{loss.level}", f"Carried after the loss of {loss.count} at level {loss.level}", loss.capacity_left, "requests/s",
            "the least over every choice of what is lost; docs/inventories.md, section 4",
        )  # fmt: skip
        mark = Status("pass", "carried") if enough else Status("warn", "less is carried")
        rows.append(
            (f"{loss.count} × {loss.level}", ", ".join(loss.lost) or "none in use", f"{loss.instances_lost:,}", left,
             f"{loss.needed:,.4g} requests/s", mark)
        )  # fmt: skip
    if rows:
        blocks.append(Table("losses", columns, tuple(rows)))
    reliable = answer.reliability
    if reliable is not None:
        hours = reliable.hours_between_outages
        outage = "no outage can happen" if hours is None else f"{hours:,.0f} hours between outages"
        blocks.append(
            Text(
                (
                    "Failures counted, ", ledger.figure("availability"),
                    f" of the requests are served; {outage}; {reliable.unserved_requests_per_month:,.0f} requests a month are not "
                    f"served. {reliable.states:,} failure states were gone through.",
                )
            )
        )  # fmt: skip
    return Section("failures", "What failures do", tuple(blocks))


def _launch(problem: InventoryProblem, answer: InventoryAnswer) -> Section:
    from optimizer.deployment.line import launch_lines

    if not answer.verification.passed:
        return Section("launch", "Launch commands", (Text(("None are given: the answer is not verified.",)),))
    blocks: list[Block] = [Commands("One instance of each shape", "bash", "\n".join(launch_lines(problem, answer)))]
    blocks.append(Text(("optimizer deploy writes the files of every instance, with the router.",)))
    return Section("launch", "Launch commands", tuple(blocks))


def _advice(answer: InventoryAnswer) -> list[Section]:
    said = [conflict.sentence for conflict in answer.conflicts]
    said += [f"{repair.sentence}" for repair in answer.repairs]
    if answer.optimum is not None and answer.optimum.pools and answer.optimum.objective is not None:
        value = milliseconds(answer.optimum.objective.value)
        said.append(f"The best for this inventory is {answer.optimum.label}: {value} per request.")
    return [Section("recommendations", "Recommendations", (points(said),))] if said else []


def points(said: Sequence[str], mark: Mark = "info") -> Bullets:
    """Sentences as points."""
    return Bullets(tuple((mark, (sentence,)) for sentence in said))


def _ms(value: float | None) -> str:
    return "none" if value is None else milliseconds(value)
