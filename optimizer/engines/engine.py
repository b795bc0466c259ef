"""What the product knows of a serving engine besides its flags and its kernels: names, images, words for formats."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

DTYPES: Mapping[str, str] = {"fp16": "float16", "bf16": "bfloat16"}
"""The 16-bit types as ``--dtype`` of every engine says them."""


@dataclass(frozen=True, slots=True)
class ServingEngine:
    """One engine, from its file in ``data/profiles``. Its versions have data of their own: ``engines.flags``, ``engines.kernels``."""

    id: str
    """How problem files and options call it."""
    title: str
    """How people call it."""
    package: str
    """Python package that holds it."""
    images: Mapping[str, str]
    """Container image by GPU architecture (``gfx950``) or else vendor (``nvidia``, ``amd``), ``{version}`` left open."""
    on_loading: Mapping[str, str]
    """Weight formats that it makes of a 16-bit checkpoint while loading, as its ``--quantization`` says them."""
    kv_words: Mapping[str, str]
    """KV format → what its option calls it."""
    kv_offered: str
    """What that option offers, in words for a refusal."""
    experts_inside_tp: bool
    """Whether experts may be spread over a part of a TP group and sliced over the rest."""
    experts_across: Literal["any", "single"]
    """Replicas that share their experts: of any TP, or of a single GPU a stage."""
    sequences_of: Literal["rank", "server"]
    """What the limit on sequences counts: those of a data-parallel rank, or of all ranks of a server."""
    share: Literal["whole", "weights_and_cache", "cache"]
    """What its share of memory holds: everything it counts, weights and cache, or the cache alone."""
    carries: Mapping[str, str]
    """Flag, or place in its file of settings, that carries a number of the answer → which, ``{weights}`` and ``{kv}`` left open."""
    kv_as_weights: str | None = None
    """What a cache of the 16-bit type of the weights is called where ``kv_words`` has no word for it."""
    reads: tuple[str, ...] = ()
    """``quant_method`` of published checkpoints that it is suggested for; empty: any."""
    aliases: tuple[str, ...] = ()
    """Other names of it in files of measurements, in small letters."""
    kv_block_tokens: int | None = None
    """Tokens of one block of its cache, where its blocks are of one size."""
    unsaid_cache_fp8: bool = False
    """Whether measured runs of a quantised checkpoint that state no format of the cache had one of fp8."""
    reserves: bool = False
    """Whether measured runs took the cache of a whole request when it was admitted."""
    together_before: str | None = None
    """First version of which measured runs with requests of one length did not begin and end them together; None: none did."""
    ulimits: Mapping[str, int] | None = None
    """Limits of a container that it needs raised."""
    sources: Mapping[str, str] | None = None

    def kv_word(self, cache: str, dtype: str) -> str | None:
        """What the option for the cache is set to beside weights of a 16-bit type; None: not offered beside these weights."""
        return self.kv_words.get(cache) or (self.kv_as_weights if cache == dtype else None)
