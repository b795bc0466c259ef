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

Each group has its parameters and its **bytes as the checkpoint stores them**: scales, zero points and the modules that the
quantisation leaves in 16 bit are in the bytes, so they are exact where the weights are served as published. Served in
another format, the parameters are multiplied by that format's bytes (``formats`` in constants.yaml).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from optimizer.facts.base import Count, CountOrZero, Facts, Tokens

WeightFormat = Literal["fp16", "bf16", "fp8", "int8", "int6", "int5", "int4", "int3", "int2", "mxfp4", "nvfp4"]
Amount = Annotated[int, Field(ge=0)]
"""Parameters or bytes."""
KvCacheFormat = Literal["fp16", "bf16", "fp8", "int8", "nvfp4"]
"""What a checkpoint may ask its cache to be; an engine may not offer it."""


class Quantization(Facts):
    """How the linear layers of a checkpoint are stored, as far as engines' rules depend on it."""

    method: str
    """``quant_method`` as published (``awq``, ``compressed-tensors``, ``modelopt``...)."""
    weight_format: WeightFormat
    """Of the bulk of the quantised linear layers; codebook formats (nf4, GGUF's) by their width."""
    other_formats: tuple[WeightFormat, ...] = ()
    """Of quantised linear layers that are stored in another one (mixed precision)."""
    expert_format: WeightFormat | None = None
    """Of routed experts that are not in 16 bit; None: there are none."""
    weight_block: tuple[Count, Count] | None = None
    """Outputs and inputs that share one scale (block fp8)."""
    group_size: Count | None = None
    """Neighbouring inputs that share one scale; None: one scale per output, per tensor or per block."""
    activation_format: Literal["fp8", "int8", "nvfp4", "mxfp4"] | None = None
    """What the inputs of the products are rounded to; None: they stay in 16 bit."""
    kv_cache_format: KvCacheFormat | None = None
    """What the checkpoint asks the cache to be; None: it asks for nothing, the cache is of the model's 16-bit type."""
    ignored: tuple[str, ...] = ()
    """Modules that stay in 16 bit, as the file lists them."""


class Product(Facts):
    """Matrices of a layer that engines keep as one tensor (q, k and v; gate and up), or one that stands alone; bytes without scales."""

    cut_bytes: Amount
    """Of what TP cuts evenly."""
    key_value_bytes: Amount = 0
    """Of k and v, cut by KV heads."""


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
    unread_bytes_per_sequence: Amount = 0
    """Bytes that each GPU holds for a sequence in whole blocks beyond the values above, which no step reads."""
    bytes_per_token_in_flight: Amount = 0
    """Bytes that each GPU holds of a token until the step that works on it is done: DeepSeek-V4's compressors and windows."""
    attention_flop_width: int
    """Decoding: heads x (query-key width + value width); attention costs 2 x this FLOP per token and context token."""
    prefill_flop_width: int
    """The same during prefill; differs for MLA, which decodes in absorbed form and prefills in expanded form."""
    ffn_sharded_parameters: int
    """The part of ``sharded_parameters`` in the MLP or the shared experts; the rest is attention's."""
    ffn_unquantized_parameters: int
    """The part of ``unquantized_parameters`` in the MLP or experts: their norm, router and biases."""
    sharded_bytes: int
    """Of ``sharded_parameters`` as the checkpoint stores them, scales and zero points included; the others likewise."""
    key_value_bytes: int
    replicated_bytes: int
    unquantized_bytes: int
    expert_bytes: int
    """Of one routed expert."""
    ffn_sharded_bytes: int
    ffn_unquantized_bytes: int
    kv_heads: CountOrZero = 0
    """KV heads of this kind of layer where layers differ in them; 0: the model's."""
    index_heads: CountOrZero = 0
    """Heads of the layer's own indexer, which chooses what of the past attention reads (DeepSeek-V3.2, GLM-5, MiniMax-M3); 0: none."""
    index_bytes_per_token: Amount = 0
    """Bytes of a token's index key in the cache of every GPU, whatever the cache's format: 8 bit with their scale, or 16 (MiniMax-M3)."""
    worked_values_per_token: CountOrZero = 0
    """16-bit values of a token of a prompt that kernels of a recurrent layer hold at once, all heads together; 0: fewer than its MLP."""
    shared_kv_values_per_token: CountOrZero = 0
    """Values of all heads that it reads from an earlier layer's cache and does not store again (Gemma 3n)."""
    copied_parameters: Amount = 0
    """Parameters that engines hold once more in 16 bit, cut by TP: the up-projection of latent attention, which decoding absorbs."""
    products: tuple[Product, ...] = ()
    """Tensors of attention and dense MLPs in 8 or 16 bit, whose memory an engine rounds up as its allocator does."""

    def kv_values(self, model_kv_heads: int) -> int:
        """Cached values of one token that a layer of this kind stores, all heads together, once.

        Args:
            model_kv_heads: of layers that state none of their own.
        """
        of_heads = self.kv_values_per_token_per_kv_head * (self.kv_heads or model_kv_heads)
        return of_heads + self.kv_values_per_token_replicated

    def kv_bytes(self, model_kv_heads: int, value_bytes: int) -> int:
        """Bytes of one token in the cache of a layer of this kind, all heads together, once; ``value_bytes``: of a value."""
        return self.kv_values(model_kv_heads) * value_bytes + self.index_bytes_per_token

    @property
    def latent(self) -> bool:
        """Whether it caches one compressed vector a token for all heads (MLA, and DeepSeek-V4's compressed attention)."""
        return self.kv_values_per_token_replicated > 0 and self.kv_values_per_token_per_kv_head == 0

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
    def weight_bytes(self) -> int:
        """Of the whole layer as the checkpoint stores it."""
        dense = self.sharded_bytes + self.key_value_bytes + self.replicated_bytes + self.unquantized_bytes
        return dense + self.experts * self.expert_bytes

    @property
    def active_parameters(self) -> int:
        """Parameters one token passes through."""
        return self.parameters - (self.experts - self.experts_per_token) * self.expert_parameters


class TowerRun(Facts):
    """What an engine that profiles its vision tower runs through it: items (images or videos) of the largest size."""

    item_tokens: Count
    """Tokens of the language model that one such item becomes."""
    item_patches: Count
    """Patches that the tower works on for it."""
    patch_values: Count
    """16-bit values of a patch that every GPU holds at the peak: its pixels, the residual stream and its norm."""
    patch_values_cut: CountOrZero
    """Those that TP cuts: what goes into and out of the activation of the MLP."""
    token_values: Count
    """16-bit values of a token that come out, kept while the language model runs."""


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
    """The checkpoint's: that of its quantisation, else its 16-bit type."""
    native_dtype: Literal["fp16", "bf16"]
    linear_format: WeightFormat
    """What most of the linear weights outside routed experts are stored in."""
    expert_format: WeightFormat
    """What routed experts are stored in; without experts as ``linear_format``."""
    embedding_width: CountOrZero = 0
    """Of the input table where it is narrower than the hidden size (OPT-350m); 0: the hidden size."""
    embedding_bytes: int
    """The input table as stored; the others likewise."""
    head_bytes: int
    """0 where the head is the input table."""
    input_parameters: Amount = 0
    """Beside the input table, on the first stage and on each of its GPUs: learned positions, norms of the embedding."""
    input_bytes: Amount = 0
    table_parameters: Amount = 0
    """Further tables over the vocabulary on the first stage, cut like the input table (Gemma 3n: one per layer)."""
    table_bytes: Amount = 0
    output_parameters: Amount
    """Norm before the head and the head's bias, on the last stage and on each of its GPUs, 16 bit."""
    vision_parameters: Amount = 0
    """Vision and audio towers and their projectors, cut by TP on every stage; not in ``parameters``."""
    vision_bytes: Amount = 0
    tower_run: TowerRun | None = None
    """What a profiling run takes for images or videos; None: no vision tower, or one whose largest item is not known."""
    rotary_values: Amount = 0
    """Values of the tables of rotary positions that engines build for the whole context, on every GPU."""
    rotary_value_bytes: CountOrZero = 0
    """Bytes of one where every engine keeps the tables alike; 0: as the engine keeps them."""
    mtp_parameters: Amount = 0
    """Multi-token-prediction modules in the checkpoint: loaded only where speculation is switched on; not in ``parameters``."""
    mtp_bytes: Amount = 0
    attention_head_counts: tuple[Count, ...] = ()
    """Every number of attention heads where layers differ in it, which TP has to divide; empty: ``attention_heads``. Delta nets and
    Mamba-2 have heads of their own."""
    attention_outputs: tuple[Count, ...] = ()
    """Outputs of quantised projections that TP cuts and that follow from no number of heads above: MLA, delta nets, Mamba."""
    attention_inputs: tuple[Count, ...] = ()
    """The same for the inputs of their output projections."""
    quantization: Quantization | None = None
    notes: tuple[str, ...] = ()
    """What was assumed or left out when the checkpoint was read, in sentences for people."""
    published_parameters: int | None = None
    stored_dtype: Literal["fp16", "bf16"] | None = None
    """16-bit type of the checkpoint where the GPUs have it served in another one (``native_dtype``); None: in its own."""

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
        return self.vocabulary * (self.embedding_width or self.hidden_size)

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
        """Of the language model; vision towers and multi-token-prediction modules are counted apart."""
        tables = self.embedding_parameters + self.head_parameters + self.table_parameters
        return tables + self.layer_parameters + self.input_parameters + self.output_parameters

    @property
    def weight_bytes(self) -> int:
        """Of ``parameters`` as the checkpoint stores them."""
        layers = sum(self.kinds[k].weight_bytes for k in self.kind_of_layer)
        tables = self.embedding_bytes + self.head_bytes + self.table_bytes
        return tables + layers + self.input_bytes + 2 * self.output_parameters

    @property
    def compressed_attention(self) -> bool:
        """Whether layers keep compressed vectors in blocks of one pool, as DeepSeek-V4's do."""
        return any(kind.bytes_per_token_in_flight for kind in self.kinds)

    @property
    def native_kv_format(self) -> Literal["fp16", "bf16", "fp8"]:
        """The cache where no format is chosen: fp8 where the checkpoint asks for it, as engines do, else the 16-bit type."""
        asked = self.quantization.kv_cache_format if self.quantization else None
        return "fp8" if asked == "fp8" else self.native_dtype

    @property
    def head_counts(self) -> tuple[int, ...]:
        """Every number of attention heads that some layer has; TP divides each."""
        return self.attention_head_counts or (self.attention_heads,)

    @property
    def kv_head_counts(self) -> tuple[int, ...]:
        """Every number of KV heads that some layer has; rules on TP hold for each."""
        return tuple(sorted({kind.kv_heads or self.kv_heads for kind in self.kinds}))

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
            "embedding": self.embedding_parameters + self.table_parameters + self.input_parameters,
            "output head": self.head_parameters,
            "key and value projections": sum(k.key_value_parameters for k in kinds),
            "other attention and MLP, shared experts": sum(
                k.sharded_parameters + k.replicated_parameters for k in kinds
            ),
            "routed experts": experts,
            "norms and routers": sum(k.unquantized_parameters for k in kinds) + self.output_parameters,
        }
