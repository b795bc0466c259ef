"""What a report says of joint instances and pools together, on equal nodes as on an inventory: every figure from those of the parts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from optimizer.render.text import costs_sentence, verification_sentence
from optimizer.reporting.document import Block, Bullets, Cell, Column, Figure, Section, Table, Text
from optimizer.reporting.inventory import points
from optimizer.reporting.key_figures import KEY_FIGURES
from optimizer.reporting.ledger import Ledger, ms, number, share
from optimizer.reporting.part import ReportPart
from optimizer.results.side_by_side import SideBySideMetrics

DOCS = "docs/disaggregated.md, section 14"
SLOWER = {
    "ttft_p50_ms": "First token, P50",
    "ttft_p99_ms": "First token, P99",
    "tpot_p50_ms": "Each further token, P50",
    "tpot_p99_ms": "Each further token, P99",
}
"""Percentiles of which no one of all requests lies above that of the slower part."""


@dataclass(frozen=True, slots=True)
class PartFacts:
    """What a part of an answer has and delivers."""

    part: ReportPart
    label: str
    share: float
    """Of the requests that it is sent."""
    set_apart: int
    """GPUs that it may use."""
    gpus: int
    """GPUs that it uses."""
    value_ms: float
    """Its objective, ms per request that it is sent."""
    percentiles: Mapping[str, float | None]
    """Of ``SLOWER``, ms."""
    max_request_rate: float
    availability: float
    derived: Mapping[str, Figure]
    """Its own figures by id, where they are derived."""

    def figure(self, id: str, value: float | None, unit: str, text: str | None = None) -> Cell:
        """A figure, with the link to the part's own derivation where there is one."""
        found = self.derived.get(id)
        if found is not None:
            return self.part.figure(found)
        if value is None:
            return "requests pile up"
        from optimizer.reporting.ledger import shown

        return Figure(text or shown(value, unit), value, unit)


def parts_section(
    ledger: Ledger,
    both: SideBySideMetrics,
    value_ms: float,
    rate: float,
    output_tokens: int,
    joint: PartFacts,
    pools: PartFacts,
) -> Section:
    """What either part is sent, has and delivers, and both together.

    Args:
        both: of both together.
        value_ms: objective of both, ms per request.
        rate: requests/s in all.
        output_tokens: of the mean request.
    """
    sides = (("joint", "joint instances", joint), ("pools", "pools", pools))
    sigma, rest = joint.share, pools.share
    sent = [
        ledger.derive(
            f"sent-{id}", f"Requests sent to the {words}", "requests/s × their share",
            f"{number(rate)} requests/s × {number(one.share)}", rate * one.share, "requests/s",
            note=f"{DOCS}: whole tenths, dealt at random",
        )
        for id, words, one in sides
    ]  # fmt: skip
    value = ledger.derive(
        "objective", "Expected per request over all failure states", "σ × joint instances + (1 − σ) × pools",
        f"{number(sigma)} × {ms(joint.value_ms)} + {number(rest)} × {ms(pools.value_ms)}", value_ms, "ms", note=DOCS,
    )  # fmt: skip
    gpus = ledger.derive(
        "gpus-used",
        "GPUs in use",
        "those of both parts",
        f"{joint.gpus} + {pools.gpus}",
        joint.gpus + pools.gpus,
        "GPUs",
    )
    most = ledger.derive(
        "max_request_rate", "Largest request rate within all limits", "min(joint instances / σ, pools / (1 − σ))",
        f"min({number(joint.max_request_rate, 12)} requests/s / {number(sigma)}, "
        f"{number(pools.max_request_rate, 12)} requests/s / {number(rest)})",
        both.max_request_rate, "requests/s", note=f"{DOCS}: shares kept",
    )  # fmt: skip
    served = ledger.derive(
        "availability", "Requests served, failures counted", "the mean by shares",
        f"({number(sigma)} × {number(joint.availability, 15)} + {number(rest)} × {number(pools.availability, 15)}) × 100%",
        both.availability * 100, "%", text=share(both.availability), note=DOCS,
    )  # fmt: skip
    ledger.derive(
        "tokens_per_s", "Output tokens per second at the demand", "requests per second × output tokens",
        f"{number(rate)} requests/s × {output_tokens}", both.tokens_per_s, "tokens/s",
    )  # fmt: skip
    rows: list[tuple[Cell, ...]] = [
        ("Sent", *sent, f"{number(rate)} requests/s"),
        ("Share of the requests", f"{sigma:.0%}", f"{rest:.0%}", "100%"),
        ("GPUs set apart", f"{joint.set_apart}", f"{pools.set_apart}", f"{joint.set_apart + pools.set_apart}"),
        ("GPUs in use", *(one.figure("gpus-used", one.gpus, "GPUs") for *_, one in sides), gpus),
    ]
    for name, words in SLOWER.items():
        values = [one.percentiles[name] for *_, one in sides]
        together: Cell = "requests pile up"
        if getattr(both, name) is not None:
            together = ledger.derive(
                name, words, "of the slower part", f"max({', '.join(ms(value or 0.0) for value in values)})",
                getattr(both, name), "ms", note=f"{DOCS}: no percentile of all requests lies above it",
            )  # fmt: skip
        rows.append((words, *(one.figure(name, one.percentiles[name], "ms") for *_, one in sides), together))
    rows += [
        (
            "Expected per request, failures counted",
            *(one.figure("objective", one.value_ms, "ms") for *_, one in sides),
            value,
        ),
        (
            "Largest request rate within all limits",
            *(one.figure("max_request_rate", one.max_request_rate, "requests/s") for *_, one in sides),
            most,
        ),
        (
            "Requests served, failures counted",
            *(one.figure("availability", one.availability * 100, "%", share(one.availability)) for *_, one in sides),
            served,
        ),
    ]
    columns = (
        Column("what", "Figure"), Column("joint", "Joint instances", right=True), Column("pools", "Pools", right=True),
        Column("together", "Together", right=True),
    )  # fmt: skip
    said = (
        f"Joint instances, {joint.label}, are sent {sigma:.0%} of the requests, pools, {pools.label}, the other {rest:.0%}; "
        "a router picks one at random for each request. Either part has GPUs of its own and keeps every rule by itself, losses too."
    )
    return Section("parts", "Both parts", (Text((said,)), Table("parts", columns, tuple(rows))))


def named(answer: Any) -> list[tuple[str, Any]]:
    """Both parts with their names."""
    return [("joint instances", answer.joint), ("pools", answer.pools)]


def beside_summary(answer: Any, ledger: Ledger) -> Section:
    """Key figures of both, what is said of the answer, and what was verified of the whole and of either part."""
    rows: list[tuple[Cell, ...]] = [
        (words, ledger.figure(name))
        for name, words in (("objective", "Expected per request, failures counted"), *KEY_FIGURES)
        if name in ledger
    ]
    columns = (Column("what", "Figure"), Column("value", "Value", right=True))
    blocks: list[Block] = [Table("key-figures", columns, tuple(rows)), points(answer.explanation)]
    said = [
        f"Of both together. {verification_sentence(answer.verification, answer.status)}",
        *(
            f"Of the {part} by themselves. {verification_sentence(of.verification, of.status)}"
            for part, of in named(answer)
        ),
        costs_sentence("analytic").strip(),
        *answer.search_limits,
    ]
    wrong = [
        f"MISMATCH {one.what}: expected {one.expected}, found {one.actual}"
        for of in (answer, answer.joint, answer.pools)
        for one in of.verification.mismatches
    ]
    folds = "" if wrong else "What was verified, what costs rest on, and what was not considered"
    blocks.append(Bullets((*points(said).items, *points(wrong, "fail").items), folds))
    return Section("summary", "Summary and verdict", tuple(blocks))
