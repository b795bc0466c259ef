"""The typed result of a chain problem: data only."""

from __future__ import annotations

from dataclasses import dataclass

from optimizer.results.answer import Status, Verification
from optimizer.results.inventory import InventoryAnswer


@dataclass(frozen=True, slots=True)
class LayersHeld:
    """The layers of one node: from ``start`` (counted from 0), ``layers`` of them, and the tokens/s it carries."""

    node: str
    """Name of the node."""
    type: str
    """Its machine type."""
    partition: str
    """The region or site that it stands in."""
    start: int
    """First layer, counted from 0."""
    layers: int
    """Number of layers."""
    tokens_per_s: float
    """What flows through it, tokens/s."""
    capacity_tokens_per_s: float
    """Most that a node of its type works off with so many layers, tokens/s."""


@dataclass(frozen=True, slots=True)
class LinkFlow:
    """Tokens/s on one link; ``capacity_tokens_per_s`` is None for a link without limit."""

    src: str
    """Name of the sending node, or of the coordinator."""
    dst: str
    """Name of the receiving node, or of the coordinator."""
    tokens_per_s: float
    """What crosses it, tokens/s."""
    capacity_tokens_per_s: float | None
    """Most that crosses it, tokens/s."""


@dataclass(frozen=True, slots=True)
class Chain:
    """One way of tokens through the nodes, with its share of the flow and its time, where types state one."""

    nodes: tuple[str, ...]
    """Names of the nodes, first layer first."""
    tokens_per_s: float
    """Its share of the flow, tokens/s."""
    ms_per_token: float
    """Time of one token from the coordinator through all nodes and back, ms."""


@dataclass(frozen=True, slots=True)
class BoundProof:
    """What proves the bound: ``cross_section`` weights that anyone can check, or ``search`` (CP-SAT's own proof).

    No total above ``cross_section_tokens_per_s`` passes the test with these weights: per node of each type, per stage
    and per microsecond of the limits. ``entry``: the coordinator's links and the nodes alone give it.
    ``crossing``: the test also counts what slow links cost (``docs/chains.md``).
    """

    method: str
    """``cross_section`` or ``search``."""
    cross_section_tokens_per_s: float
    """The bound that the weights give, tokens/s."""
    weight_per_node: dict[str, int]
    """Machine type → weight of one node of it."""
    weight_per_stage: int
    """Weight of one stage."""
    weight_per_us: int
    """Weight of one microsecond."""
    entry: bool
    """Whether the coordinator's links and the nodes alone give it."""
    crossing: bool = False
    """Whether it counts what slow links cost."""


@dataclass(frozen=True, slots=True)
class ChainDemand:
    """What an inventory's requests ask of the chain that stands for its instances."""

    requests_per_s: float
    """Asked for."""
    tokens_per_request: int
    """That pass every layer: the prompt, and all of the answer but its last token."""
    carried_requests_per_s: float
    """That the chain's tokens/s are enough for; above what is asked for."""


@dataclass(frozen=True, slots=True)
class ChainAnswer:
    """What ``solve_chain`` found, or ``check`` about a placement. ``value`` and ``bound`` in tokens/s; ``gap`` = (bound - value) / value.

    ``check`` states ``feasible`` and the ``optimum`` beside it, whose bound is then the answer's.
    """

    problem: str
    """Name of the problem."""
    status: Status
    """``optimal`` is proved; ``feasible`` is not; ``infeasible`` is proved; ``unknown``: time ran out."""
    value: float
    """Tokens/s that the placement carries."""
    bound: float
    """Tokens/s that no placement passes."""
    gap: float | None
    """(bound − value) / value; None where nothing flows."""
    layers: int
    """Layers of the model."""
    placement: tuple[LayersHeld, ...]
    """Who holds which layers; nodes left out are in ``idle``."""
    flows: tuple[LinkFlow, ...]
    """Every link in use."""
    chains: tuple[Chain, ...]
    """The flow as ways through the nodes; their shares add up to it."""
    idle: tuple[str, ...]
    """Names of nodes that hold nothing."""
    proof: BoundProof
    """What proves the bound."""
    verification: Verification
    """What the independent recomputation says."""
    explanation: tuple[str, ...]
    """Sentences for a person."""
    search_limits: tuple[str, ...]
    """Sentences on what was not considered."""
    published: float | None = None
    """Tokens/s that the instance's authors report; None: not stated."""
    seconds: float = 0.0
    """Wall time of the question, s."""
    feasible: bool | None = None
    """Of ``check``: whether the placement carries anything; None: nothing was proposed."""
    optimum: ChainAnswer | None = None
    """Of ``check``: the best placement."""
    demand: ChainDemand | None = None
    """Of ``cluster:``, where no set of instances keeps every rule and a chain was chosen: what requests ask of it."""
    instances: InventoryAnswer | None = None
    """Of ``cluster:`` likewise: the answer about instances, with what conflicts and what would help."""
