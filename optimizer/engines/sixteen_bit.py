"""The 16-bit type a model is served in: the checkpoint's, or float16 where a GPU computes no bfloat16, as engines fall back."""

from __future__ import annotations

from collections.abc import Iterable

from optimizer.engines.kernels import kernels_of
from optimizer.engines.registry import engine_of
from optimizer.facts.hardware import GpuFacts
from optimizer.facts.model import ModelFacts


def sixteen_bit_note(model: ModelFacts, engine: str) -> str | None:
    """A sentence where a model is not served in the 16-bit type of its checkpoint."""
    if model.stored_dtype is None:
        return None
    return (
        f"The checkpoint is of {model.stored_dtype}, which not every GPU computes: it is served in {model.native_dtype}, as "
        f"{engine_of(engine).title} does by itself."
    )


def served_on(model: ModelFacts, engine: str, gpus: Iterable[GpuFacts]) -> ModelFacts:
    """The model with the 16-bit type in which an engine serves it on every one of some GPUs.

    Sources: vLLM and SGLang take float16 below compute capability 8.0 by themselves (``data/kernels``, bf16). A format that a
    person states is not touched: the rules speak of it.
    """
    kernels, there = kernels_of(engine), tuple(gpus)
    own = model.stored_dtype or model.native_dtype

    def everywhere(name: str) -> bool:
        return all(kernels.weights[name].runs_on(gpu.capability) for gpu in there)

    wanted = "fp16" if own == "bf16" and not everywhere("bf16") and everywhere("fp16") else own
    if wanted == model.native_dtype:
        return model
    weights = wanted if model.native_weight_format == model.native_dtype else model.native_weight_format
    return model.model_copy(
        update={
            "native_dtype": wanted,
            "native_weight_format": weights,
            "stored_dtype": None if wanted == own else own,
        }
    )
