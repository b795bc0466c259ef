"""Families that are the common decoder but for one thing that no trait names."""

from __future__ import annotations

from dataclasses import replace

from optimizer.checkpoints import decoder
from optimizer.checkpoints.config import Config
from optimizer.checkpoints.family import Family
from optimizer.checkpoints.parts import Decoder


def _with(config: Config, **values: object) -> Config:
    changed = Config({**config.values, **values}, config.field, config.defaults, complete=config.complete)
    changed.defaulted = config.defaulted
    return changed


def post_norms(config: Config, family: Family) -> Decoder:
    """HyperCLOVA X: two further norms in a layer unless ``use_post_norm`` is false."""
    norms = 2 if config.flag("use_post_norm", default=True) else 1
    return decoder.read(config, replace(family, attention_norms=norms, rest_norms=norms))


def always_tied(config: Config, family: Family) -> Decoder:
    """MiniCPM: the head is the input table, whatever a converter wrote into the file."""
    return replace(decoder.read(config, family), tied=True)


def apertus(config: Config, family: Family) -> Decoder:
    """Apertus: the activation of each MLP has two learned numbers (xIELU, arXiv 2411.13010)."""
    read = decoder.read(config, family)
    if config.value("hidden_act") not in (None, "xielu"):
        return read
    layers = tuple(
        replace(layer, rest=replace(layer.rest, small=layer.rest.small + 2)) if layer.rest else layer
        for layer in read.layers
    )
    return replace(read, layers=layers)


def chatglm(config: Config, family: Family) -> Decoder:
    """ChatGLM2 to GLM-4-9B: groups only where ``multi_query_attention`` is true; ``kv_channels`` is the head width."""
    groups = {} if config.flag("multi_query_attention") else {"multi_query_group_num": None}
    return decoder.read(_with(config, multi_query=False, **groups), family)


def qwen1(config: Config, family: Family) -> Decoder:
    """Qwen-1 states the width of both input projections together; its keys and values are of every head."""
    width = config.size("intermediate_size")
    if width % 2:
        raise config.error("intermediate_size", f"{width} is odd; Qwen-1 states the width of two projections together")
    return decoder.read(_with(config, intermediate_size=width // 2), family)


def stablelm(config: Config, family: Family) -> Decoder:
    """StableLM: with parallel residuals one norm serves both halves; norms of queries and keys have no bias."""
    parallel = config.flag("use_parallel_residual")
    return decoder.read(config, replace(family, rest_norms=0 if parallel else 1))


def hunyuan(config: Config, family: Family) -> Decoder:
    """Hunyuan-Large shares keys and values across layers, which is not modelled.

    Raises:
        ProblemError: the file switches that sharing on.
    """
    if config.flag("use_cla") or (config.value("cla_share_factor") or 1) != 1:
        raise config.error("use_cla", "layers share keys and values across layers (CLA), which is not modelled")
    return decoder.read(config, family)


def cohere2_moe(config: Config, family: Family) -> Decoder:
    """Command A+: the first layers, which are dense, have a pattern of windows of their own."""
    if config.states("layer_types"):
        return decoder.read(config, family)
    first, layers = config.option("first_k_dense_replace", default=0), config.layers()
    every = config.option("sliding_window_pattern", default=4, minimum=1)
    dense_every = config.option("prefix_dense_sliding_window_pattern", default=1, minimum=1)
    full = [(i + 1) % dense_every == 0 if i < first else (i - first + 1) % every == 0 for i in range(layers)]
    kinds = ["full_attention" if here else "sliding_attention" for here in full]
    return decoder.read(_with(config, layer_types=kinds), family)
