"""What the body of each question over HTTP may hold: the problem, and what the command of that name takes as options."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from optimizer.facts.base import Count, Facts, Milliseconds, NonNegative, Positive, Tokens
from optimizer.facts.demand import KvFormat
from optimizer.facts.model import WeightFormat

Text = Annotated[str, Field(max_length=1_000_000)]
Word = Annotated[str, Field(max_length=200)]


class Line(Facts):
    """A question on one line, as the command's options ask without a file."""

    gpu: Word = Field(description="Catalog name of the GPU")
    gpus: Count | None = Field(default=None, description="How many; left out, one node of them")
    model: Word = Field(description="Catalog name of the model")
    prompt: Tokens = Field(description="Mean prompt, tokens")
    output: Tokens = Field(description="Mean output, tokens")
    rate: Positive = Field(description="Requests/s in all")
    ttft_p50: Milliseconds | None = None
    ttft_p99: Milliseconds | None = None
    tpot_p50: Milliseconds | None = None
    tpot_p99: Milliseconds | None = None
    max_sequence: Tokens | None = Field(default=None, description="Longest request that must be served, tokens")
    engine: Word | None = None
    objective: Word | None = None


class Decisions(Facts):
    """Decisions of a strategy that are fixed; those left out are free."""

    tp: Count | None = None
    pp: Annotated[int, Field(ge=1, le=10_000, strict=True)] | None = None
    dp: Count | None = None
    ep: Count | None = None
    max_num_seqs: Annotated[int, Field(ge=1, le=8192, strict=True)] | None = None
    layers: tuple[Count, ...] | None = Field(default=None, description="Layers of each stage")
    weights: WeightFormat | None = None
    kv: KvFormat | None = None
    expert_slice_ranks: Count | None = None
    dcp: Count | None = None


class Asked(Facts):
    """What every question has."""

    problem: dict[str, Any] | Text | None = Field(
        default=None, description="The contents of a problem file: a mapping, or its text as YAML"
    )
    line: Line | None = Field(default=None, description="In place of problem: a question on one line")
    time_limit_s: Positive | None = Field(default=None, description="Seconds for the search; at most the server's own")


class SolveAsked(Asked):
    """The best strategy: how far it may stay from its bound, and what is read beside it."""

    gap: Annotated[float, Field(ge=0, le=1, strict=True)] = 0.0
    simulate: bool = True
    all_conflicts: bool = False


class CheckAsked(Asked):
    """A strategy, a pair of pools or a whole placement that is judged."""

    fixed: Decisions = Decisions()
    prefill: Word | None = Field(default=None, description="Prefill pool, tp=4,count=2")
    decode: Word | None = Field(default=None, description="Decode pool, tp=8,count=1")
    share: float | None = Field(
        default=None, description="Of the requests, in tenths, for joint instances beside pools"
    )
    placement: dict[str, Any] | None = Field(default=None, description="Every instance, or who holds which layers")
    simulate: bool = False
    repairs: bool = True
    all_conflicts: bool = False


class WhyNotAsked(Asked):
    """A strategy that is compared with the best, or the layers that a node of a chain should hold."""

    fixed: Decisions = Decisions()
    node: tuple[Word, ...] = Field(default=(), max_length=1000, description="Of a chain: NAME=FIRST:LAYERS")
    prefill: Word | None = Field(default=None, description="Prefill pool, tp=4,count=2")
    decode: Word | None = Field(default=None, description="Decode pool, the same")
    serving: Literal["joint", "disaggregated", "side-by-side"] | None = Field(
        default=None, description="The best of one kind of instances, or of both side by side"
    )
    share: float | None = Field(
        default=None, description="Of the requests, in tenths, for joint instances beside pools"
    )


class SweepAsked(Asked):
    """One answer for each count of GPUs or nodes, and each scenario."""

    gpus: Word | None = Field(default=None, description="Counts: 1..64, 1..64:4, 1,2,4 or pow2:1..64")
    nodes: dict[Word, Word] = Field(default={}, description="Of cluster: counts of nodes by group")
    by: Literal["gpu", "node"] = "gpu"
    scenarios: dict[str, Any] | None = Field(default=None, description="Fields with several values each, crossed")
    prices: dict[Word, NonNegative] = Field(default={}, description="Price of an hour by GPU name")


class RecommendAsked(Asked):
    """The least hardware of each type that keeps every rule."""

    gpus: Word | None = None
    nodes: dict[Word, Word] = Field(default={})
    types: tuple[Word, ...] | None = Field(default=None, min_length=1, max_length=100)
    least: Literal["gpus", "price"] = "gpus"
    by: Literal["gpu", "node"] = "gpu"
    prices: dict[Word, NonNegative] = Field(default={})


class ParetoAsked(Asked):
    """Answers that none is better than on every axis."""

    axes: Word = "latency,availability"
    points: Annotated[int, Field(ge=1, le=1000, strict=True)] = 20


class ReportAsked(Asked):
    """The report of an answer, or of a strategy that is stated."""

    fixed: Decisions = Decisions()
    sweep: Word | None = Field(default=None, description="Counts of GPUs whose curve is drawn too")
    html: bool = Field(default=True, description="The page with pictures (needs the extra report)")
