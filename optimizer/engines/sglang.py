"""SGLang. Sources: ``docs/deploy.md``, sections 2 and 3."""

from __future__ import annotations

from optimizer.engines.engine import ServingEngine


def _kv_word(cache: str, dtype: str) -> str | None:
    """A 16-bit cache is bfloat16, or of the type of the weights."""
    if cache == "fp8":
        return "fp8_e4m3"
    if cache == "bf16":
        return "bfloat16"
    return "auto" if cache == dtype == "fp16" else None


SGLANG = ServingEngine(
    id="sglang",
    title="SGLang",
    package="sglang",
    images={
        "nvidia": "lmsysorg/sglang:v{version}",
        "amd": "lmsysorg/sglang:v{version}-rocm720-mi30x",
        "gfx950": "lmsysorg/sglang:v{version}-rocm720-mi35x",
    },
    on_loading={"fp8": "fp8"},
    kv_word=_kv_word,
    kv_offered="--kv-cache-dtype has bfloat16, fp8_e4m3 and auto, the type of the weights",
)
