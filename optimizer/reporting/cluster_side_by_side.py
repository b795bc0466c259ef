"""The report of joint instances beside prefill and decode pools on an inventory: both together, then each part as in its own report."""

from __future__ import annotations

from dataclasses import replace

from optimizer.explain.common.numbers import count
from optimizer.explain.pools.against import inventory_figures
from optimizer.facts.inventory import InventoryProblem
from optimizer.reporting.beside_parts import SLOWER, PartFacts, beside_summary, parts_section
from optimizer.reporting.cluster_pools import cluster_pools_sections
from optimizer.reporting.document import Cell, Column, Derivation, Section, Table, Text
from optimizer.reporting.folding import folded
from optimizer.reporting.inventory import groups_section, inventory_sections, placement_section
from optimizer.reporting.ledger import Ledger, number
from optimizer.reporting.part import ReportPart
from optimizer.results.cluster_side_by_side import ClusterSideBySideAnswer
from optimizer.results.place_beside import moved, places_on
from optimizer.results.place_pools import place_cluster_pools
from optimizer.results.placement import Placement

OF_THE_WHOLE = frozenset({"summary", "inventory", "placement", "launch"})
"""Sections that are said once of both parts."""


def cluster_side_by_side_report(
    problem: InventoryProblem, answer: ClusterSideBySideAnswer, parts: tuple[InventoryProblem, InventoryProblem]
) -> tuple[list[Section], list[Derivation]]:
    """Both parts' sections and derivations, and before them what is said of both together.

    Args:
        parts: what the joint instances and the pools are asked.
    """
    ledger, own, others = Ledger(), Ledger(), Ledger()
    first, second = ReportPart("joint", "Joint instances"), ReportPart("pools", "Pools")
    joint = inventory_sections(parts[0], answer.joint, own)
    pools = cluster_pools_sections(parts[1], answer.pools, others)
    groups = groups_section(problem, ledger)
    both = _both(problem, answer, ledger, (first, own), (second, others))
    sections = [
        beside_summary(answer, ledger),
        both,
        groups,
        _divided(answer),
        _placement(problem, answer, parts[1]),
        *first.sections(joint, OF_THE_WHOLE),
        *second.sections(pools, OF_THE_WHOLE),
    ]
    gists = {"placement": "the GPUs of every instance of either part"}
    gists |= {section.id: section.gist for section in sections if section.gist}
    derivations = [*ledger.derivations, *first.derivations(own.derivations), *second.derivations(others.derivations)]
    return folded(sections, gists), derivations


def _both(
    problem: InventoryProblem,
    answer: ClusterSideBySideAnswer,
    ledger: Ledger,
    joint: tuple[ReportPart, Ledger],
    pools: tuple[ReportPart, Ledger],
) -> Section:
    """Both parts beside each other, and the price of both."""
    first, second = inventory_figures(answer.joint), answer.pools.metrics
    assert second is not None and answer.pools.strategy is not None and answer.pools.objective is not None
    assert answer.joint.objective is not None and answer.joint.reliability is not None
    apart = [sum(getattr(one, f"{name}_gpus") for one in answer.groups) for name in ("joint", "pools")]
    prices = answer.joint.price_per_hour, second.price_per_hour
    if answer.price_per_hour is not None and None not in prices:
        ledger.derive(
            "price_per_hour", "Price per hour", "those of both parts", " + ".join(number(price or 0.0) for price in prices),
            answer.price_per_hour, "", text=f"{answer.price_per_hour:,.2f}",
        )  # fmt: skip
    work = problem.workload
    return parts_section(
        ledger, answer.metrics, answer.objective.value, work.requests_per_s, work.output_tokens,
        PartFacts(
            joint[0], answer.joint.label, answer.share, apart[0], answer.joint.gpus_used, answer.joint.objective.value,
            {name: getattr(first, name) for name in SLOWER}, first.max_request_rate or 0.0,
            answer.joint.reliability.availability, {one.id: one.figure for one in joint[1].derivations},
        ),
        PartFacts(
            pools[0], answer.pools.label, 1 - answer.share, apart[1], answer.pools.strategy.gpus,
            answer.pools.objective.value, {name: getattr(second, name) for name in SLOWER}, second.max_request_rate,
            second.availability, {one.id: one.figure for one in pools[1].derivations},
        ),
    )  # fmt: skip


def _divided(answer: ClusterSideBySideAnswer) -> Section:
    """How each group is shared out."""
    columns = (
        Column("group", "Group"), Column("joint", "Joint instances", right=True), Column("pools", "Pools", right=True),
    )  # fmt: skip
    rows: list[tuple[Cell, ...]] = [
        (one.group, _has(one.joint_gpus, one.joint_nodes), _has(one.pools_gpus, one.pools_nodes))
        for one in answer.groups
    ]
    said = (
        "Of each group the first nodes are the joint instances', the others the pools'; a single node may be of both."
    )
    return Section("divided", "Who has which nodes", (Text((said,)), Table("divided", columns, tuple(rows))))


def _has(gpus: int, nodes: int) -> str:
    return f"{count(gpus, 'GPU')} on {count(nodes, 'node')}" if gpus else "none"


def _placement(problem: InventoryProblem, answer: ClusterSideBySideAnswer, pools_part: InventoryProblem) -> Section:
    """Every instance of either part, with its share of all requests."""
    first, second = places_on(problem, answer.groups)
    joint = answer.joint.placement or Placement(())
    assert answer.pools.strategy is not None
    pools = place_cluster_pools(pools_part, answer.pools.strategy)
    return placement_section(
        [
            replace(one, share=one.share * share)
            for part, place, share in ((joint, first, answer.share), (pools, second, 1 - answer.share))
            for one in moved(part, place).instances
        ]
    )
