"""Decoders of 2022 to early 2024 whose files nest or rename their sizes: OPT, MPT, Falcon, DBRX."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from optimizer.checkpoints import decoder
from optimizer.checkpoints.config import Config
from optimizer.checkpoints.family import Family
from optimizer.checkpoints.parts import Decoder


def _flat(config: Config, **nested: dict[str, str]) -> Config:
    """The config with entries of nested mappings at the top, under the names that the other readers use."""
    values: dict[str, Any] = dict(config.values)
    for outer, names in nested.items():
        inner = config.values.get(outer)
        inner = inner if isinstance(inner, dict) else {}
        for key, name in names.items():
            if inner.get(key) is not None:
                values[name] = inner[key]
    return Config(values, config.field, config.defaults, complete=config.complete)


def opt(config: Config, family: Family) -> Decoder:
    """OPT (arXiv 2205.01068): its 350M model has a narrower token table and norms after the blocks."""
    first = config.flag("do_layer_norm_before", default=True) and not config.flag("_remove_final_layer_norm")
    read = decoder.read(config, replace(family, final_norm=first))
    width = config.option("word_embed_proj_dim", default=read.hidden)
    if width == read.hidden:
        return read
    return replace(read, embedding_width=width, input=read.input + 2 * width * read.hidden)


def mpt(config: Config, family: Family) -> Decoder:
    """MPT: ``attn_config`` nests heads and ALiBi, ``expansion_ratio`` the width; ``no_bias`` strips biases from norms too."""
    inner = _flat(config, attn_config={"kv_n_heads": "num_key_value_heads", "qk_ln": "qk_ln"})
    if inner.values.get("qk_ln"):
        raise config.error("attn_config.qk_ln", "norms of queries and keys are not modelled for this family")
    ratio = config.option("expansion_ratio", default=4, minimum=1)
    inner = Config(
        {**inner.values, "ffn_hidden_size": ratio * config.size("d_model", "hidden_size")},
        config.field,
        config.defaults,
        complete=config.complete,
    )
    if config.flag("no_bias", default=True):
        return decoder.read(inner, family)
    return decoder.read(inner, replace(family, norm="layer", qkv_bias=True, output_bias=True, mlp_bias=True))


def falcon(config: Config, family: Family) -> Decoder:
    """Falcon (arXiv 2311.16867): norms by generation, multi-query unless the new architecture states KV heads."""
    new = config.flag("new_decoder_architecture")
    values = dict(config.values)
    if not new:
        # Before the new architecture the key was written without being read.
        values.pop("num_kv_heads", None)
        values.pop("n_head_kv", None)
        values.setdefault("multi_query", config.flag("multi_query", default=True))
    inner = Config(values, config.field, config.defaults, complete=config.complete)
    parallel = new or config.flag("parallel_attn", default=True)
    two = config.option("num_ln_in_parallel_attn", default=2 if new else 1) == 2 or not parallel
    return decoder.read(inner, replace(family, rest_norms=1 if two else 0))


def dbrx(config: Config, family: Family) -> Decoder:
    """DBRX: sizes in ``attn_config`` and ``ffn_config``; norms without biases."""
    inner = _flat(
        config,
        attn_config={"kv_n_heads": "num_key_value_heads"},
        ffn_config={
            "ffn_hidden_size": "intermediate_size",
            "moe_num_experts": "num_experts",
            "moe_top_k": "num_experts_per_tok",
        },
    )
    return decoder.read(inner, family)
