"""The typed result of a chain problem: data only."""

from __future__ import annotations

from dataclasses import dataclass

from optimizer.results.answer import Status, Verification


@dataclass(frozen=True, slots=True)
class LayersHeld:
    """The layers of one node: from ``start`` (counted from 0), ``layers`` of them, and the tokens/s it carries."""

    node: str
    type: str
    partition: str
    start: int
    layers: int
    tokens_per_s: float
    capacity_tokens_per_s: float


@dataclass(frozen=True, slots=True)
class LinkFlow:
    """Tokens/s on one link; ``capacity_tokens_per_s`` is None for a link without limit."""

    src: str
    dst: str
    tokens_per_s: float
    capacity_tokens_per_s: float | None


@dataclass(frozen=True, slots=True)
class Chain:
    """One way of tokens through the nodes, with its share of the flow and its time, where types state one."""

    nodes: tuple[str, ...]
    tokens_per_s: float
    ms_per_token: float


@dataclass(frozen=True, slots=True)
class BoundProof:
    """What proves the bound: ``cross_section`` weights that anyone can check, or ``search`` (CP-SAT's own proof).

    No total above ``cross_section_tokens_per_s`` passes the test with these weights: per node of each type, per stage
    and per microsecond of the limits. ``entry``: the coordinator's links and the nodes alone give it.
    ``crossing``: the test also counts what slow links cost (``docs/chains.md``).
    """

    method: str
    cross_section_tokens_per_s: float
    weight_per_node: dict[str, int]
    weight_per_stage: int
    weight_per_us: int
    entry: bool
    crossing: bool = False


@dataclass(frozen=True, slots=True)
class ChainAnswer:
    """What ``solve_chain`` found, or ``check`` about a placement. ``value`` and ``bound`` in tokens/s; ``gap`` = (bound - value) / value.

    ``check`` states ``feasible`` and the ``optimum`` beside it, whose bound is then the answer's.
    """

    problem: str
    status: Status
    value: float
    bound: float
    gap: float | None
    layers: int
    placement: tuple[LayersHeld, ...]
    flows: tuple[LinkFlow, ...]
    chains: tuple[Chain, ...]
    idle: tuple[str, ...]
    proof: BoundProof
    verification: Verification
    explanation: tuple[str, ...]
    search_limits: tuple[str, ...]
    published: float | None = None
    seconds: float = 0.0
    feasible: bool | None = None
    optimum: ChainAnswer | None = None
