"""A draft model named by its catalog name, its config or its folder: what it holds, reads and keeps.

Engines run a draft in 16 bit beside the model, and refuse one whose vocabulary has another size, because the two share token ids
(``vllm/config/speculative.py``, ``verify_equal_vocab_size_if_draft_model``).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from optimizer.facts.errors import ProblemError
from optimizer.facts.model import ModelFacts
from optimizer.facts.workload import DRAFT_FIELDS, Speculation

NAME = "workload.speculation.draft_model"
Resolve = Callable[[str, Path, str], ModelFacts]


def with_draft_model(stated: Speculation, model: ModelFacts, folder: Path, resolve: Resolve) -> Speculation:
    """The same with what the draft model says; what is stated of the draft stands.

    Args:
        folder: where a path starts.
        resolve: a model by (name or path, folder, field for messages).

    Raises:
        ProblemError: neither the draft's model nor its figures are stated, or it is no draft for this model.
    """
    missing = [name for name in DRAFT_FIELDS if getattr(stated, name) is None]
    if not missing:
        return stated
    if stated.draft_model is None:
        raise ProblemError(
            "workload.speculation",
            f"{missing[0]} is needed with method draft; or name the draft: draft_model, by catalog name or the path of its config",
        )
    try:
        draft = resolve(stated.draft_model, folder, NAME)
    except ProblemError as error:
        raise ProblemError(NAME, f"{error.message}; or state {', '.join(DRAFT_FIELDS)}") from None
    _refuse(draft, model)
    cache = sum(draft.kinds[kind].kv_bytes(draft.kv_heads, 2) for kind in draft.kind_of_layer)
    own = {
        "draft_parameters": draft.parameters / 1e9,
        "draft_layers": draft.layers,
        "draft_kv_bytes_per_token": cache,
    }
    launched = {"draft_model": draft.huggingface_id} if draft.huggingface_id else {}
    return stated.model_copy(update={name: own[name] for name in missing} | launched)


def _refuse(draft: ModelFacts, model: ModelFacts) -> None:
    if draft.vocabulary != model.vocabulary:
        raise ProblemError(
            NAME,
            f"{draft.name} has a vocabulary of {draft.vocabulary:,}, {model.name} one of {model.vocabulary:,}: engines refuse a draft "
            "with another vocabulary",
        )
    if draft.experts:
        raise ProblemError(
            NAME,
            f"{draft.name} has experts, of which a step reads some: state {', '.join(DRAFT_FIELDS)} of what is read",
        )
