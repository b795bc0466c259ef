"""The allowlist of architectures: model type → how its layers are read, its class defaults, and the source of both.

``data/families.yaml`` states what differs from a gated decoder with rotary positions and RMS norms; a family with ``like``
starts from another one's entry. ``data/defaults.yaml`` has the class defaults of the config classes in ``transformers``,
which published files leave out of nested text configs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
DATA = Path(__file__).parent / "data"
FAMILIES, DEFAULTS = "families.yaml", "defaults.yaml"

Keys = bool | str | tuple[str, ...]
"""Always, never, or where one of these keys of the config is true."""


@dataclass(frozen=True, slots=True)
class Family:
    """How one model type is read."""

    source: str
    """Where the layers are defined: modelling file, paper, or the model file published with the weights."""
    reader: str = "decoder"
    """Which reader builds the layers (``readers``)."""
    norm: Literal["rms", "layer", "none"] = "rms"
    """``layer`` has a bias beside the weight; ``none`` has no parameters."""
    attention_norms: int = 1
    rest_norms: int = 1
    qkv_bias: Keys = False
    output_bias: Keys = False
    mlp_bias: Keys = False
    gated: bool = True
    """The MLP has two input projections."""
    mlp_multiple: int = 0
    """Width of the MLP where the file states none, in widths of the hidden state; 0: the file has to state it."""
    query_key_norm: Literal["none", "head", "vector", "heads"] = "none"
    """Over one head, the whole vector, or each head with weights of its own."""
    query_key_norm_key: str = ""
    """Only where this key of the config is true."""
    query_key_norm_bias: bool = False
    output_gate: Keys = False
    """The query projection also yields a gate of its size."""
    head_gate: bool = False
    """One gate per head, from the hidden state."""
    gate_module: bool = False
    """A gate projection of the query's size beside it."""
    sinks: bool = False
    positions: tuple[str, ...] = ()
    """Keys of the number of learned positions; empty: rotary or none."""
    rotary: bool = True
    """Positions are turned in attention where none are learned; false: no positions, or biases by distance (ALiBi)."""
    local_rotary: bool = False
    """Layers with windows turn by a base of their own."""
    position_offset: int = 0
    embedding_norm: bool = False
    head_bias: Keys = False
    final_norm: bool = True
    tied: bool = False
    window: Literal["none", "all", "pattern", "upper", "chunks"] = "none"
    """``pattern``: every n-th layer is full; ``upper``: from ``max_window_layers`` on; ``layer_types`` in the file wins."""
    window_pattern: int = 0
    window_pattern_key: str = "sliding_window_pattern"
    window_first: bool = False
    """The full layers are 0, n, 2n… instead of n − 1, 2n − 1…"""
    window_switch: str = ""
    """A key that has to be true for any window to hold."""
    mla: bool = False
    block_indexer: bool = False
    """Layers that the file names choose blocks of the past by an indexer (MiniMax-M3)."""
    linear_layers: bool = False
    """Layers that ``layer_types`` or the interval name are gated delta nets."""
    experts: bool = False
    router_bias: Keys = False
    """A correction per expert, added where experts are chosen."""
    router_linear_bias: bool = False
    expert_bias: bool = False
    shared_gate: bool = False
    shared_experts: int = 0
    """Where the file does not say."""
    parallel: bool = False
    refuse: str = ""
    """Why this model type cannot be read although its name is known."""
    quantized_experts_only: bool = False
    """Published quantised checkpoints of this family convert the routed experts only."""


@cache
def _chunks(file: str) -> dict[str, str]:
    """The text of each entry of a data file: a question concerns one model type, and parsing all of them takes a while."""
    text = (DATA / file).read_text(encoding="utf-8")
    starts = [*re.finditer(r"^([^\s#:]+):", text, re.MULTILINE)]
    ends = [found.start() for found in starts[1:]] + [len(text)]
    return {found[1]: text[found.start() : end] for found, end in zip(starts, ends, strict=True)}


@cache
def _entry(file: str, name: str) -> dict[str, Any]:
    """One entry; empty where the file has none."""
    chunk = _chunks(file).get(name)
    return yaml.load(chunk, Loader=_Loader)[name] if chunk else {}


def known() -> list[str]:
    """Model types that are read, sorted."""
    return sorted(name for name in _chunks(FAMILIES) if not _resolved(name).get("refuse"))


@cache
def family(model_type: str) -> Family | None:
    """The family of a model type; None where it is not on the list."""
    if model_type not in _chunks(FAMILIES):
        return None
    stated: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in _resolved(model_type).items()}
    return Family(**stated)


def class_defaults(model_type: str) -> dict[str, Any]:
    """Class defaults of a model type, those of the family it is like where its own class is not in ``transformers``."""
    chain, name = [], model_type
    while name:
        entry = _entry(FAMILIES, name)
        chain.append({**_entry(DEFAULTS, name), **entry.get("defaults", {})})
        if name in _chunks(DEFAULTS):
            break
        name = entry.get("like", "")
    return {key: value for layer in reversed(chain) for key, value in layer.items()}


def _resolved(name: str) -> dict[str, Any]:
    entry = _entry(FAMILIES, name)
    own = {key: value for key, value in entry.items() if key not in {"like", "defaults"}}
    return {**(_resolved(entry["like"]) if "like" in entry else {}), **own}
