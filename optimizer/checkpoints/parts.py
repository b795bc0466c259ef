"""What every reader of an architecture hands over: matrices by module, small tensors by count, cache by layer.

A matrix keeps its module's path inside the layer, because a checkpoint's quantisation is stated by module.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Group = Literal["sharded", "key_value", "replicated"]


@dataclass(frozen=True, slots=True)
class Linear:
    """A matrix that may be quantised; how engines cut it is its group (``facts/model.py``)."""

    module: str
    """Path inside the layer as published files name it, ``self_attn.q_proj``."""
    inputs: int
    outputs: int
    group: Group = "sharded"
    copies: int = 1
    """Equal matrices under one name, each quantised by itself."""

    @property
    def parameters(self) -> int:
        return self.inputs * self.outputs * self.copies


@dataclass(frozen=True, slots=True)
class Attention:
    """Whatever mixes tokens in a layer: attention, a recurrent block, a convolution."""

    linears: tuple[Linear, ...] = ()
    small: int = 0
    """Biases, norms inside the block, sinks, convolutions: 16 bit, on each GPU."""
    heads: int = 0
    kv_heads: int = 0
    kv_per_kv_head: int = 0
    """Values cached per token and KV head."""
    kv_replicated: int = 0
    """Values cached per token on every GPU (latents)."""
    shared_cache: bool = False
    """It reads what an earlier layer has cached; its own values are not stored."""
    state: int = 0
    """16-bit values kept per sequence, cut by TP."""
    state_replicated: int = 0
    unread: int = 0
    """Bytes kept per sequence on every GPU beyond these values, in whole blocks."""
    in_flight: int = 0
    """Bytes kept per token on every GPU until the step that works on it is done."""
    flop_width: int = 0
    prefill_flop_width: int = 0
    index_heads: int = 0
    """Of the indexer that chooses what attention reads."""
    index_bytes: int = 0
    """Of a token's index key, on every GPU."""
    copied: int = 0
    """Parameters that engines hold once more in 16 bit."""
    worked: int = 0
    """16-bit values of a token that kernels of a recurrent block hold at once in a prompt, cut by TP."""


@dataclass(frozen=True, slots=True)
class Experts:
    """The routed experts of one layer."""

    count: int
    per_token: int
    width: int
    linears: tuple[Linear, ...]
    """Of one expert."""
    small: int = 0
    """Biases of one expert."""

    @property
    def parameters(self) -> int:
        return sum(linear.parameters for linear in self.linears) + self.small


@dataclass(frozen=True, slots=True)
class FeedForward:
    """The MLPs and experts of one layer."""

    linears: tuple[Linear, ...] = ()
    """Dense MLPs and shared experts."""
    small: int = 0
    """Routers, their biases, and biases of the MLPs: 16 bit, on each GPU."""
    widths: tuple[int, ...] = ()
    """Of dense MLPs and shared experts; TP has to divide each."""
    experts: Experts | None = None


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer; a half that it lacks is None."""

    attention: Attention | None
    rest: FeedForward | None
    attention_norms: int = 0
    """Parameters of the norms around the attention."""
    rest_norms: int = 0
    window_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Decoder:
    """A language model as its files describe it, before any quantisation."""

    hidden: int
    vocabulary: int
    heads: int
    kv_heads: int
    head_dim: int
    layers: tuple[Layer, ...]
    output: int
    """Parameters of the last norm and of the head's bias."""
    tied: bool = False
    mla: bool = False
    embedding_width: int = 0
    """Of the token table where it is not the hidden size (OPT-350m); 0: the hidden size."""
    input: int = 0
    """Parameters beside the token table: learned positions, norms and projections of the embedding."""
    tables: int = 0
    """Parameters of further tables over the vocabulary."""
    notes: tuple[str, ...] = ()
