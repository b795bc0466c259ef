"""What a decoder model is, as far as memory and time depend on it: parameters per component and KV cache per layer.

Parameters are grouped by how a serving engine shards them, because that decides what one GPU holds:

=======================  =============================================  =================================
group                    members                                        held by one GPU at TP = t
=======================  =============================================  =================================
``sharded``              q and o projections, MLP, shared experts       1/t
``key_value``            k and v projections (GQA)                      kv heads per GPU / kv heads
``replicated``           MLA down-projections                           all
``unquantized``          norms, router, sinks (kept in 16 bit)          all
``expert``               one routed expert                              see ``docs/model.md``, experts
=======================  =============================================  =================================

Source of the grouping: vLLM's ColumnParallelLinear, RowParallelLinear, QKVParallelLinear and ReplicatedLinear layers.
"""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from optimizer.facts.base import Count, CountOrZero, Facts, Tokens

WeightFormat = Literal["fp16", "bf16", "fp8", "int8", "int4", "mxfp4", "nvfp4"]


class LayerKind(Facts):
    """One kind of decoder layer. Parameters are counts, KV is in cached values per token (multiply by bytes per value)."""

    sharded_parameters: int
    key_value_parameters: int
    replicated_parameters: int
    unquantized_parameters: int
    experts: CountOrZero
    experts_per_token: CountOrZero
    expert_parameters: int
    kv_values_per_token_per_kv_head: int
    """2 x head_dim for MHA/GQA; 0 for MLA and for linear attention."""
    kv_values_per_token_replicated: int
    """MLA: kv_lora_rank + qk_rope_head_dim, cached in full on every TP rank; 0 otherwise."""
    window_tokens: int
    """Sliding-window length; 0 means full attention."""
    state_values_per_sequence: int
    """Linear attention: recurrent and convolution state, independent of the context; 0 otherwise."""
    state_values_replicated: CountOrZero = 0
    """Cached values that neither grow with the context nor shrink with TP: DeepSeek-V4's window beside its compressed cache."""
    attention_flop_width: int
    """Decoding: heads x (query-key width + value width); attention costs 2 x this FLOP per token and context token."""
    prefill_flop_width: int
    """The same during prefill; differs for MLA, which decodes in absorbed form and prefills in expanded form."""
    ffn_sharded_parameters: int
    """The part of ``sharded_parameters`` in the MLP or the shared experts; the rest is attention's."""
    ffn_unquantized_parameters: int
    """The part of ``unquantized_parameters`` in the MLP or experts: their norm, router and biases."""

    @property
    def parameters(self) -> int:
        """Parameters of the whole layer, all experts included."""
        return (
            self.sharded_parameters
            + self.key_value_parameters
            + self.replicated_parameters
            + self.unquantized_parameters
            + self.experts * self.expert_parameters
        )

    @property
    def active_parameters(self) -> int:
        """Parameters one token passes through."""
        return self.parameters - (self.experts - self.experts_per_token) * self.expert_parameters


class ModelFacts(Facts):
    """A decoder-only transformer. Build it from a catalog name or a Hugging Face config (``checkpoints``)."""

    name: str
    huggingface_id: str
    architecture: str
    hidden_size: Count
    layers: Count
    kinds: tuple[LayerKind, ...]
    kind_of_layer: tuple[int, ...]
    """Index into ``kinds`` for each of the layers, first to last."""
    attention_heads: Count
    kv_heads: Count
    """Heads that can be split over TP; for MLA this equals the attention heads (nothing is split, see ``mla``)."""
    head_dim: Count
    mla: bool
    ffn_widths: tuple[Count, ...]
    """Every width of a dense MLP or shared expert, which TP has to divide; routed experts: ``expert_ffn_width``."""
    expert_ffn_width: CountOrZero
    vocabulary: Count
    tied_embeddings: bool
    max_context_tokens: Tokens
    native_weight_format: WeightFormat
    native_dtype: Literal["fp16", "bf16"]
    published_parameters: int | None = None

    @model_validator(mode="after")
    def _consistent(self) -> ModelFacts:
        if len(self.kind_of_layer) != self.layers:
            raise ValueError(f"kind_of_layer names {len(self.kind_of_layer)} layers, the model has {self.layers}")
        if any(k < 0 or k >= len(self.kinds) for k in self.kind_of_layer):
            raise ValueError("kind_of_layer points outside kinds")
        return self

    @property
    def experts(self) -> int:
        """Routed experts per MoE layer; 0 for a dense model."""
        return max(kind.experts for kind in self.kinds)

    @property
    def embedding_parameters(self) -> int:
        """The input embedding table."""
        return self.vocabulary * self.hidden_size

    @property
    def head_parameters(self) -> int:
        """The output head; 0 when it is tied to the embedding."""
        return 0 if self.tied_embeddings else self.vocabulary * self.hidden_size

    @property
    def layer_parameters(self) -> int:
        """All decoder layers together."""
        return sum(self.kinds[k].parameters for k in self.kind_of_layer)

    @property
    def parameters(self) -> int:
        """Every parameter, with the final norm; multi-token-prediction modules are not served and not counted."""
        return self.embedding_parameters + self.head_parameters + self.layer_parameters + self.hidden_size

    @property
    def active_parameters(self) -> int:
        """Parameters one token passes through, embedding and head included."""
        inactive = sum(self.kinds[k].parameters - self.kinds[k].active_parameters for k in self.kind_of_layer)
        return self.parameters - inactive

    def components(self) -> dict[str, int]:
        """Parameter counts by component, summing to ``parameters``."""
        kinds = [self.kinds[k] for k in self.kind_of_layer]
        experts = sum(k.experts * k.expert_parameters for k in kinds)
        return {
            "embedding": self.embedding_parameters,
            "output head": self.head_parameters,
            "key and value projections": sum(k.key_value_parameters for k in kinds),
            "other attention and MLP, shared experts": sum(
                k.sharded_parameters + k.replicated_parameters for k in kinds
            ),
            "routed experts": experts,
            "norms and routers": sum(k.unquantized_parameters for k in kinds) + self.hidden_size,
        }
