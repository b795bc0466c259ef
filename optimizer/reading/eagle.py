"""An EAGLE-3 head for a model: what it holds and keeps where nothing is stated of it.

One decoder layer with the model's own dimensions whose attention reads the embedding beside the hidden state (2 h wide), a projection of
three hidden states to one, and an output head over a vocabulary of its own; the embedding is the model's. Li et al., EAGLE-3
(arXiv:2503.01840); ``vllm/model_executor/models/llama_eagle3.py``. The heads of its authors have vocabularies of 32,000 tokens.
"""

from __future__ import annotations

from optimizer.facts.errors import ProblemError
from optimizer.facts.model import ModelFacts
from optimizer.facts.workload import DRAFT_FIELDS, Speculation

DRAFT_VOCABULARY = 32_000


def with_head(stated: Speculation, model: ModelFacts) -> Speculation:
    """The same with what the head holds; what is stated of it stands.

    Raises:
        ProblemError: the model's dimensions do not say what a head would hold, and it is not stated.
    """
    missing = [name for name in DRAFT_FIELDS if getattr(stated, name) is None]
    if not missing:
        return stated
    dense = [kind for kind in model.kinds if not kind.experts and kind.kv_values_per_token_per_kv_head]
    if model.mla or model.experts or not dense or not model.ffn_widths:
        raise ProblemError(
            f"workload.speculation.{missing[0]}",
            f"is needed with method eagle: heads for {model.name} do not follow from its dimensions; state "
            f"{', '.join(DRAFT_FIELDS)} of the head",
        )
    hidden, keys = model.hidden_size, model.kv_heads * model.head_dim
    queries = model.attention_heads * model.head_dim
    attention = 2 * hidden * (queries + 2 * keys) + queries * hidden
    projections = 3 * hidden * hidden + DRAFT_VOCABULARY * hidden
    parameters = attention + 3 * hidden * max(model.ffn_widths) + projections
    own = {"draft_parameters": parameters / 1e9, "draft_layers": 1, "draft_kv_bytes_per_token": 2 * keys * 2}
    return stated.model_copy(update={name: own[name] for name in missing})
