"""Readers of architectures that differ from the common decoder by more than a trait; one file for each group of families."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from optimizer.checkpoints.config import Config
from optimizer.checkpoints.family import Family
from optimizer.checkpoints.parts import Decoder

Reader = Callable[[Config, Family], Decoder]

PLACES = {
    "decoder": "optimizer.checkpoints.decoder:read",
    "post_norms": "optimizer.checkpoints.readers.variants:post_norms",
    "always_tied": "optimizer.checkpoints.readers.variants:always_tied",
    "apertus": "optimizer.checkpoints.readers.variants:apertus",
    "chatglm": "optimizer.checkpoints.readers.variants:chatglm",
    "qwen1": "optimizer.checkpoints.readers.variants:qwen1",
    "stablelm": "optimizer.checkpoints.readers.variants:stablelm",
    "hunyuan": "optimizer.checkpoints.readers.variants:hunyuan",
    "cohere2_moe": "optimizer.checkpoints.readers.variants:cohere2_moe",
    "laguna": "optimizer.checkpoints.readers.experts:laguna",
    "opt": "optimizer.checkpoints.readers.older:opt",
    "mpt": "optimizer.checkpoints.readers.older:mpt",
    "falcon": "optimizer.checkpoints.readers.older:falcon",
    "dbrx": "optimizer.checkpoints.readers.older:dbrx",
    "gemma3n": "optimizer.checkpoints.readers.gemma:gemma3n",
    "gemma4": "optimizer.checkpoints.readers.gemma:gemma4",
    "searched": "optimizer.checkpoints.readers.searched:read",
    "arctic": "optimizer.checkpoints.readers.experts:arctic",
    "grok": "optimizer.checkpoints.readers.experts:grok",
    "longcat": "optimizer.checkpoints.readers.experts:longcat",
    "step3": "optimizer.checkpoints.readers.experts:step3",
    "step3p5": "optimizer.checkpoints.readers.experts:step3p5",
    "mimo_v2": "optimizer.checkpoints.readers.experts:mimo_v2",
    "compressed": "optimizer.checkpoints.compressed:read",
    "kimi_linear": "optimizer.checkpoints.readers.linear:kimi_linear",
    "minimax": "optimizer.checkpoints.readers.linear:minimax",
    "lfm2": "optimizer.checkpoints.readers.linear:lfm2",
    "jamba": "optimizer.checkpoints.readers.mamba:jamba",
    "bamba": "optimizer.checkpoints.readers.mamba:bamba",
    "falcon_h1": "optimizer.checkpoints.readers.mamba:falcon_h1",
    "granite_hybrid": "optimizer.checkpoints.readers.mamba:granite_hybrid",
    "nemotron_h": "optimizer.checkpoints.readers.mamba:nemotron_h",
}


def reader(name: str) -> Reader:
    """The reader of a name in ``data/families.yaml``; only the files that a model needs are imported."""
    module, _, function = PLACES[name].partition(":")
    found: Reader = getattr(import_module(module), function)
    return found
