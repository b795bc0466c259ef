"""What the product knows of a serving engine besides its flags and its kernels: names, images, words for formats."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ServingEngine:
    """One engine. Its flags and kernels are data of its versions: ``engines.flags``, ``engines.kernels``."""

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
    kv_word: Callable[[str, str], str | None]
    """(KV format, 16-bit type of the weights) → value of ``--kv-cache-dtype``; None: not offered beside these weights."""
    kv_offered: str
    """What ``--kv-cache-dtype`` offers, in words for a refusal."""


DTYPES: Mapping[str, str] = {"fp16": "float16", "bf16": "bfloat16"}
"""The 16-bit types as ``--dtype`` of every engine says them."""
