"""Facts of a chain problem: one model spread over many unequal nodes (``kind: chain`` in the problem file).

A node of a type holds a contiguous interval of layers; its throughput depends on how many it holds. Tokens enter at the
coordinator (``source``), pass nodes that together compute every layer in order, and leave at the coordinator (``sink``).
The problem and its connection rule are those of Helix (Mei et al., ASPLOS 2025, arXiv 2406.01566).
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, Field, PrivateAttr

from optimizer.facts.base import Count, Facts, Milliseconds, NonNegative, Positive, Sentence
from optimizer.facts.errors import ProblemError, closest
from optimizer.facts.text import name_of

if TYPE_CHECKING:
    from optimizer.facts.problem import Problem

SOURCE, SINK = "source", "sink"
LARGEST_LAYERS = 1_000
LARGEST_NODES = 2_000

Connection = Literal["exact", "contained"]
Layers = Annotated[int, Field(ge=1, le=LARGEST_LAYERS, strict=True)]
LayersKey = Annotated[int, Field(ge=1, le=LARGEST_LAYERS)]
"""A number of layers as a key; JSON writes keys as text."""
Name = Annotated[str, Field(coerce_numbers_to_str=True), AfterValidator(lambda name: name_of(name))]


class ServedModel(Facts):
    """The model served. Bytes of one token: between layers (activation), and at the coordinator (the token itself)."""

    name: Name = Field(default="model", description="How answers call the model")
    layers: Layers = Field(description="Layers of the model")
    activation_bytes: Positive | None = Field(
        default=None, description="Bytes of one token between two stages; needed where links are stated in bytes/s"
    )
    token_bytes: Positive | None = Field(
        default=None, description="Bytes of one token at the coordinator; needed where its links are stated in bytes/s"
    )


class NodeType(Facts):
    """Tokens/s of a node by the number of layers it holds, from 1 to the most it can hold.

    ``time_ms_by_layers``: time one token spends in the node; left out, ``batch_tokens`` tokens at that throughput.
    """

    throughput_tokens_per_s_by_layers: dict[LayersKey, NonNegative] = Field(
        default={},
        description="Tokens/s of a node that holds 1, 2, … layers, one entry for each number up to max_layers; needed with costs: table",
    )
    gpu: Name | None = Field(
        default=None, description="With costs: analytic, in place of the table: the GPU of the node, a catalog name"
    )
    gpus: Count = Field(default=1, description="With costs: analytic: GPUs of the node, one tensor-parallel group")
    max_layers: Layers | None = Field(
        default=None, description="Most layers that a node of this type holds; left out, as many as the table has"
    )
    time_ms_by_layers: dict[LayersKey, Milliseconds] | None = Field(
        default=None,
        description="Time one token spends in the node, ms; left out, batch_tokens tokens at the stated throughput",
    )


class Node(Facts):
    """One node: its name, its type, and the partition (region, site) it stands in."""

    name: Name = Field(description="How answers call the node")
    type: Name = Field(description="One of cluster.types")
    partition: Name = Field(default="all", description="Region or site it stands in")


class Wire(Facts):
    """Capacity of a connection: tokens/s, or bytes/s that are divided by the bytes of one token."""

    tokens_per_s: NonNegative | None = Field(default=None, description="Capacity, tokens/s")
    bandwidth_bytes_per_s: NonNegative | None = Field(
        default=None, description="Or capacity in bytes/s, divided by the bytes of one token"
    )
    latency_ms: NonNegative = Field(default=0.0, description="Time one token spends on it, ms")


class PartitionLink(Wire):
    """Every pair of nodes, one in each partition (or both in one), in both directions; capacity is per pair."""

    between: tuple[Name, Name] = Field(
        description="Two partitions, or one twice: every pair of nodes in them is joined"
    )


class Link(Wire):
    """One link between two nodes, from the ``source`` or to the ``sink``; overrides what partitions say."""

    src: Name = Field(description="Node that sends, or source (the coordinator)")
    dst: Name = Field(description="Node that receives, or sink (the coordinator)")
    bidirectional: bool = Field(default=True, description="Whether the link carries as much the other way")


class Cluster(Facts):
    """Types, nodes and links. With neither ``links`` nor ``partition_links`` every pair is joined without limit."""

    types: Annotated[dict[Name, NodeType], Field(min_length=1)] = Field(description="Node types by name")
    nodes: Annotated[tuple[Node, ...], Field(min_length=1, max_length=LARGEST_NODES)] = Field(description="The nodes")
    partition_links: tuple[PartitionLink, ...] = Field(
        default=(), description="Links between all pairs of nodes of two partitions"
    )
    links: tuple[Link, ...] = Field(default=(), description="Single links; they override what partitions say")
    coordinator: Wire = Field(
        default=Wire(), description="The link from the source to every node and from every node to the sink"
    )
    batch_tokens: Count = Field(default=1, description="Tokens that a node works on together, for its time per token")


class ChainRequirements(Facts):
    """Limits on every chain that carries tokens: nodes passed, and milliseconds a token spends in nodes and links."""

    max_stages: Count | None = Field(default=None, description="Most nodes that any token passes")
    max_ms_per_token: Milliseconds | None = Field(
        default=None, description="Longest time of any token in nodes and links together, ms"
    )


class ChainWorkload(Facts):
    """With ``costs: analytic``: what requests are like, and the formats of weights and cache."""

    prompt_tokens: Count = Field(description="Prompt length, tokens")
    output_tokens: Count = Field(description="Output length, tokens")
    weight_precision: str | None = Field(default=None, description="Format of the weights; left out, the checkpoint's")
    kv_precision: str | None = Field(
        default=None, description="Format of the KV cache; left out, the model's 16-bit one"
    )
    batch: Count | None = Field(
        default=None,
        description="Requests that pass the nodes together in one step; left out, the number with which the nodes could do the most work",
    )


class Published(Facts):
    """What was published for the same instance, to be shown beside the answer."""

    objective_tokens_per_s: NonNegative = Field(description="Throughput published for the same instance")
    method: Sentence = Field(default="", description="Who published it, with which method")


class ChainProblem(Facts):
    """A checked chain problem. ``connection``: a node sends to nodes whose interval begins where its own ends
    (``exact``), or also to those whose interval contains that point and compute only the rest (``contained``)."""

    kind: Literal["chain"] = Field(description="chain")
    name: Name = Field(default="chain", description="How answers call the problem")
    model: ServedModel = Field(
        description="The model and the bytes of its tokens; with costs: analytic a catalog name, a path to a config.json, or its contents"
    )
    cluster: Cluster = Field(description="Types, nodes and links")
    connection: Connection = Field(
        default="exact", description="exact: intervals meet; contained: a node may compute a part of its layers only"
    )
    costs: Literal["table", "analytic"] = Field(
        default="table",
        description="Where throughputs come from: the tables stated here, or the analytic model (types state gpu, model is a "
        "catalog name, workload says what requests are like)",
    )
    workload: ChainWorkload | None = Field(default=None, description="With costs: analytic: what requests are like")
    costs_source: str = Field(default="", description="Where the tables come from, when not from this file")
    """Where the throughput tables come from, when not from the problem file."""
    objective: Literal["throughput"] = Field(default="throughput", description="What is made largest")
    requirements: ChainRequirements = Field(
        default=ChainRequirements(), description="Limits of every way that tokens take"
    )
    published: Published | None = Field(default=None, description="A published value, shown beside the answer")
    source: Sentence = Field(default="", description="Where the instance comes from")
    _wires: dict[tuple[str, str], Wire] = PrivateAttr(default_factory=dict)
    _between: dict[tuple[str, str], Wire] = PrivateAttr(default_factory=dict)
    _partition: dict[str, str] = PrivateAttr(default_factory=dict)
    _alone: dict[str, Problem] = PrivateAttr(default_factory=dict)

    def model_post_init(self, context: Any, /) -> None:
        """Check what spans several fields and index the links.

        Raises:
            ProblemError: with the field, the value and what would be right.
        """
        _check_types(self.cluster, self.costs)
        _check_nodes(self.cluster)
        self._partition.update({node.name: node.partition for node in self.cluster.nodes})
        self._between.update(_partition_wires(self.cluster))
        self._wires.update(_node_wires(self.cluster))
        for field, wire in _all_wires(self.cluster):
            self._check_wire(field, wire)

    @property
    def alone(self) -> dict[str, Problem]:
        """With ``costs: analytic``: for each type the problem of one node by itself, whose facts its table follows from."""
        return self._alone

    @property
    def held_batches(self) -> int:
        """Batches whose cache each node holds with ``costs: analytic``: one for every node that tokens may pass."""
        return min(self.requirements.max_stages or len(self.cluster.nodes), len(self.cluster.nodes))

    def rate(self, type_name: str, layers: int) -> Fraction:
        """Exact tokens/s of a node of this type that holds this many layers."""
        return exact(self.cluster.types[type_name].throughput_tokens_per_s_by_layers[layers])

    def max_layers(self, type_name: str) -> int:
        """The most layers a node of this type can hold, at most the model's."""
        return min(len(self.cluster.types[type_name].throughput_tokens_per_s_by_layers), self.model.layers)

    def stage_ms(self, type_name: str, layers: int) -> Fraction | None:
        """Exact milliseconds a token spends in a node; None where the node computes nothing (0 tokens/s)."""
        stated = self.cluster.types[type_name].time_ms_by_layers
        if stated is not None:
            return exact(stated[layers])
        rate = self.rate(type_name, layers)
        return None if rate == 0 else Fraction(1000 * self.cluster.batch_tokens) / rate

    def capacity(self, src: str, dst: str) -> Fraction | None:
        """Exact tokens/s from one node (or ``source``) to another (or ``sink``): 0 without a link, None without limit."""
        wire = self._wire(src, dst)
        if wire is None:
            return Fraction(0)
        if wire.tokens_per_s is not None:
            return exact(wire.tokens_per_s)
        if wire.bandwidth_bytes_per_s is None:
            return None
        size = self.model.token_bytes if src == SOURCE or dst == SINK else self.model.activation_bytes
        return exact(wire.bandwidth_bytes_per_s) / exact(size or 1)

    def latency_ms(self, src: str, dst: str) -> Fraction:
        """Exact milliseconds a token spends on the link."""
        wire = self._wire(src, dst)
        return exact(wire.latency_ms) if wire else Fraction(0)

    def _wire(self, src: str, dst: str) -> Wire | None:
        stated = self._wires.get((src, dst))
        if stated is not None:
            return stated
        if src == SOURCE or dst == SINK:
            return self.cluster.coordinator
        if not self.cluster.links and not self.cluster.partition_links:
            return Wire()
        return self._between.get((self._partition[src], self._partition[dst]))

    def _check_wire(self, field: str, wire: Wire) -> None:
        if wire.tokens_per_s is not None and wire.bandwidth_bytes_per_s is not None:
            raise ProblemError(field, "states tokens_per_s and bandwidth_bytes_per_s; one of them is enough")
        at_coordinator = wire is self.cluster.coordinator or (
            isinstance(wire, Link) and (wire.src == SOURCE or wire.dst == SINK)
        )
        unit = "token_bytes" if at_coordinator else "activation_bytes"
        if wire.bandwidth_bytes_per_s is not None and getattr(self.model, unit) is None:
            raise ProblemError(f"model.{unit}", f"is needed to turn bandwidth_bytes_per_s of {field} into tokens/s")


def exact(value: float | int) -> Fraction:
    """The decimal number that was written, not its binary neighbour: 7557.863 is 7557863/1000."""
    return Fraction(str(value))


def _check_types(cluster: Cluster, costs: str) -> None:
    for name, kind in cluster.types.items():
        field = f"cluster.types.{name}"
        if costs == "analytic":
            if kind.gpu is None:
                raise ProblemError(
                    f"{field}.gpu", "is needed with costs: analytic: a catalog name such as a100-40gb-sxm"
                )
            if kind.throughput_tokens_per_s_by_layers or kind.time_ms_by_layers:
                raise ProblemError(field, "states a table beside costs: analytic; leave it out, or state costs: table")
            continue
        if kind.gpu is not None:
            raise ProblemError(f"{field}.gpu", "is for costs: analytic; with costs: table state tokens/s by layers")
        for table_name in ("throughput_tokens_per_s_by_layers", "time_ms_by_layers"):
            table = getattr(kind, table_name)
            if table is None:
                continue
            most = kind.max_layers or len(table)
            missing = [count for count in range(1, most + 1) if count not in table]
            if missing or not table or len(table) > most:
                right = f"one entry for each number of layers from 1 to {most}"
                found = f"misses {missing[0]}" if missing else f"has {len(table)} entries"
                raise ProblemError(f"{field}.{table_name}", f"{found}; {right} is needed")
        times = kind.time_ms_by_layers
        if times is not None and len(times) != len(kind.throughput_tokens_per_s_by_layers):
            raise ProblemError(f"{field}.time_ms_by_layers", "needs the same numbers of layers as the throughput table")


def _check_nodes(cluster: Cluster) -> None:
    seen: set[str] = set()
    for index, node in enumerate(cluster.nodes):
        field = f"cluster.nodes[{index}]"
        if node.name in seen or node.name in (SOURCE, SINK):
            raise ProblemError(f"{field}.name", f"{node.name!r} is taken; every node needs its own name")
        seen.add(node.name)
        if node.type not in cluster.types:
            raise ProblemError(f"{field}.type", f"{node.type!r} is no type here; {closest(node.type, cluster.types)}")


def _partition_wires(cluster: Cluster) -> dict[tuple[str, str], Wire]:
    known = {node.partition for node in cluster.nodes}
    found: dict[tuple[str, str], Wire] = {}
    for index, link in enumerate(cluster.partition_links):
        field = f"cluster.partition_links[{index}].between"
        a, b = link.between
        for name in (a, b):
            if name not in known:
                raise ProblemError(field, f"no node stands in {name!r}; {closest(name, known)}")
        if (a, b) in found:
            raise ProblemError(field, f"[{a}, {b}] is stated twice; once is enough")
        found[a, b] = found[b, a] = link
    return found


def _node_wires(cluster: Cluster) -> dict[tuple[str, str], Wire]:
    names = {node.name for node in cluster.nodes}
    found: dict[tuple[str, str], Wire] = {}
    for index, link in enumerate(cluster.links):
        field = f"cluster.links[{index}]"
        for end, name, outside in (("src", link.src, SOURCE), ("dst", link.dst, SINK)):
            if name not in names and name != outside:
                raise ProblemError(f"{field}.{end}", f"{name!r} is no node; a node's name or {outside!r} is needed")
        if link.src == link.dst or (link.src, link.dst) == (SOURCE, SINK):
            raise ProblemError(field, f"joins {link.src!r} to {link.dst!r}; two nodes are needed")
        inner = link.src != SOURCE and link.dst != SINK
        pairs = [(link.src, link.dst)] + ([(link.dst, link.src)] if link.bidirectional and inner else [])
        for pair in pairs:
            if pair in found:
                raise ProblemError(field, f"{pair[0]} to {pair[1]} is stated twice; once is enough")
            found[pair] = link
    return found


def _all_wires(cluster: Cluster) -> list[tuple[str, Wire]]:
    wires: list[tuple[str, Wire]] = [("cluster.coordinator", cluster.coordinator)]
    wires += [(f"cluster.partition_links[{index}]", link) for index, link in enumerate(cluster.partition_links)]
    return wires + [(f"cluster.links[{index}]", link) for index, link in enumerate(cluster.links)]
