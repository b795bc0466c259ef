"""Number formats of an answer in the words of each engine. Sources: ``docs/deploy.md``, section 3."""

from __future__ import annotations

from collections.abc import Sequence

from optimizer.catalog.quantised import published
from optimizer.deployment.options import Options
from optimizer.engines.engine import DTYPES
from optimizer.engines.kernels import kernels_of
from optimizer.engines.registry import engine_of
from optimizer.facts.errors import ProblemError
from optimizer.facts.model import ModelFacts
from optimizer.facts.problem import Problem
from optimizer.results.answer import Strategy

SPARSE_BLOCK_TOKENS = 128
"""Of a cache block where an indexer chooses among blocks (MiniMax-M3): its ``sparse_block_size``. vLLM's default of 16 does not
start: "--block-size 128 is required for this model" (release lvllm-v2.3.4 of guqiong96/Lvllm, on vLLM 0.25.0); SGLang is started
with ``--page-size 128`` (ROCm/ATOM pull request 1688)."""
BLOCK_FLAGS = {"vllm": "--block-size", "sglang": "--page-size"}


def refuse_formats(problems: Sequence[Problem], strategy: Strategy, options: Options) -> None:
    """Formats that the engine does not run on one of the GPUs are never written into a launch file.

    Raises:
        ProblemError: with the GPU, the format and what would be right.
    """
    kernels = kernels_of(options.engine)
    for problem in problems:
        gpu, stored = problem.hardware.gpu, problem.model.quantization
        for field, wanted, supports in (
            ("--weights", strategy.weight_precision, kernels.of_weights(strategy.weight_precision, stored)),
            ("--kv", strategy.kv_precision, kernels.of_caches(strategy.kv_precision, stored)),
        ):
            broken = [support for support in supports if not support.runs_on(gpu.capability)]
            if broken:
                right = " or ".join(broken[-1].instead) or "another engine or GPU"
                raise ProblemError(
                    field,
                    f"{wanted} does not run on {gpu.name} (compute capability {gpu.capability}) with {options.engine_name}; "
                    f"{right} would be right",
                )


def format_flags(model: ModelFacts, strategy: Strategy, options: Options) -> list[str]:
    """``--dtype``, ``--kv-cache-dtype`` and, where weights are converted on loading, ``--quantization``.

    Raises:
        ProblemError: as :func:`cache_word` and :func:`loading_word`.
    """
    loading = loading_word(strategy.weight_precision, model, options)
    flags = ["--dtype", DTYPES[sixteen_bit(model, strategy)], "--kv-cache-dtype", cache_word(model, strategy, options)]
    return [*flags, "--quantization", loading] if loading else flags


def block_flags(model: ModelFacts, options: Options) -> list[str]:
    """How long a block of the cache is, where the model's attention asks for one length."""
    chooses_blocks = any(kind.index_bytes_per_token and not kind.latent for kind in model.kinds)
    return [BLOCK_FLAGS[options.engine], str(SPARSE_BLOCK_TOKENS)] if chooses_blocks else []


def sixteen_bit(model: ModelFacts, strategy: Strategy) -> str:
    """The 16-bit type of what is not quantised."""
    return strategy.weight_precision if strategy.weight_precision in DTYPES else model.native_dtype


def cache_word(model: ModelFacts, strategy: Strategy, options: Options) -> str:
    """What the engine's option for the cache is set to.

    Raises:
        ProblemError: the engine has no such KV format.
    """
    engine, dtype = engine_of(options.engine), sixteen_bit(model, strategy)
    word = engine.kv_word(strategy.kv_precision, dtype)
    if word is None:
        raise ProblemError(
            "--kv",
            f"{strategy.kv_precision} beside {dtype} weights is not offered by {options.engine_name} ({engine.kv_offered}); {dtype} "
            "would be right",
        )
    return word


def loading_word(wanted: str, model: ModelFacts, options: Options) -> str | None:
    """How the engine is told to convert weights while it loads them; None where they are served as they are stored.

    Raises:
        ProblemError: the checkpoint is not stored in the answer's format and the engine cannot convert it.
    """
    stored = options.checkpoint_format
    if wanted == stored or (wanted in DTYPES and stored in DTYPES):
        return None
    on_loading = engine_of(options.engine).on_loading.get(wanted)
    if stored in DTYPES and on_loading:
        return on_loading
    known = stored_in(wanted, model, options)
    raise ProblemError(
        "--checkpoint-format",
        f"{options.model_id} is stored in {stored} and {options.engine_name} cannot make {wanted} of it while loading; name a "
        f"checkpoint that is stored in {wanted}: --model-id {known or 'NAME'} --checkpoint-format {wanted}",
    )


def stored_in(wanted: str, model: ModelFacts, options: Options) -> str | None:
    """A published repository of the model in a format, in a form that the engine reads; None where none is known."""
    methods = engine_of(options.engine).reads
    known = (published(name, wanted, methods) for name in (options.model_id, model.huggingface_id))
    return next((name for name in known if name is not None), None)


def conversion_note(problem: Problem, strategy: Strategy, options: Options) -> str | None:
    """A sentence where weights are converted on every start although a published checkpoint holds them so; else None."""
    wanted, stored = strategy.weight_precision, options.checkpoint_format
    if wanted == stored or wanted in DTYPES:
        return None
    known = stored_in(wanted, problem.model, options)
    return known and (
        f"The weights are made {wanted} of {options.model_id} at every start, which loads {stored} first; {known} is published in "
        f"{wanted}: --model-id {known} --checkpoint-format {wanted}."
    )
