"""MLPs and experts of a Hugging Face config: widths, parameters, and which layers have experts."""

from __future__ import annotations

from dataclasses import dataclass

from optimizer.checkpoints.config import Config

# The router has a correction bias per expert although the config does not name the method.
SIGMOID_ROUTERS = frozenset({"glm4_moe", "glm4_moe_lite", "glm_moe_dsa", "kimi_k2", "kimi_k25", "nemotron_h"})
# MLP with one input projection (h -> f -> h); every other decoder here gates (two input projections).
UNGATED_MODEL_TYPES = frozenset(
    {
        "falcon",
        "gpt2",
        "gpt_bigcode",
        "gpt_neo",
        "gpt_neox",
        "gptj",
        "mpt",
        "nemotron",
        "nemotron_h",
        "opt",
        "phi",
        "starcoder2",
    }
)


@dataclass(frozen=True, slots=True)
class Experts:
    """The experts of one layer."""

    count: int
    per_token: int
    width: int
    parameters: int
    """Of one routed expert."""
    shared_width: int
    shared_parameters: int
    router_parameters: int
    """Router, its biases, and the shared expert's gate; kept in 16 bit."""


@dataclass(frozen=True, slots=True)
class Half:
    """The MLP or the experts of one layer, without their norm; empty where a layer has neither."""

    sharded: int = 0
    unquantized: int = 0
    width: int = 0
    """Of the dense MLP or the shared expert; 0 without."""
    experts: Experts | None = None


def feed_forward(config: Config, model_type: str, hidden: int, routed: bool) -> Half:
    """The second half of a layer: experts where ``routed``, else an MLP."""
    if routed:
        experts = routed_experts(config, model_type, hidden)
        return Half(experts.shared_parameters, experts.router_parameters, experts.shared_width, experts)
    return dense(config, model_type, hidden, dense_width(config, hidden))


def dense(config: Config, model_type: str, hidden: int, width: int) -> Half:
    """An MLP of a width."""
    projections = _projections(model_type)
    bias = (projections - 1) * width + hidden if config.flag("mlp_bias") else 0
    return Half(projections * hidden * width, bias, width)


def _projections(model_type: str) -> int:
    return 2 if model_type in UNGATED_MODEL_TYPES else 3


def routed_experts(config: Config, model_type: str, hidden: int) -> Experts:
    """Routed and shared experts of a layer that has them."""
    experts = config.count("n_routed_experts", "num_experts", "num_local_experts")
    per_token = config.count("num_experts_per_tok", "experts_per_token", "num_experts_per_token", "moe_topk")
    if per_token > experts:
        raise config.error("num_experts_per_tok", f"{per_token} is more than the {experts} experts there are")
    width = config.count("moe_intermediate_size", "intermediate_size")
    # Latent experts (Nemotron 3 Super) work in a smaller space that the whole layer projects to and from.
    latent = config.count("moe_latent_size", default=0, minimum=0)
    one = _projections(model_type) * (latent or hidden) * width
    router = hidden * experts + 2 * hidden * latent
    if model_type == "gpt_oss":
        one += 2 * width + hidden
        router += experts
    biased = config.values.get("topk_method") == "noaux_tc" or config.flag("use_routing_bias")
    if biased or model_type in SIGMOID_ROUTERS:
        router += experts
    shared = _shared_width(config, model_type, width)
    if shared and "shared_expert_intermediate_size" in config.values:
        router += hidden
    return Experts(experts, per_token, width, one, shared, _projections(model_type) * hidden * shared, router)


def _shared_width(config: Config, model_type: str, width: int) -> int:
    if config.values.get("moe_shared_expert_intermediate_size") is not None:
        return config.count("moe_shared_expert_intermediate_size", minimum=0)
    count = config.count("n_shared_experts", default=1 if model_type == "llama4_text" else 0, minimum=0)
    if count:
        return count * width
    return config.count("shared_expert_intermediate_size", "shared_intermediate_size", default=0, minimum=0)


def dense_width(config: Config, hidden: int) -> int:
    """Width of a layer's MLP where it has no experts."""
    return config.count(
        "intermediate_size_mlp",
        "dense_intermediate_size",
        "intermediate_size",
        "n_inner",
        "ffn_hidden_size",
        "ffn_dim",
        default=4 * hidden,
    )


def layers_with_experts(config: Config, layers: int) -> list[bool]:
    """Which layers have routed experts: DeepSeek, Qwen, Mixtral and MiniMax spell it differently."""
    _, experts = config.first("n_routed_experts", "num_experts", "num_local_experts")
    if not experts or experts == 1:
        return [False] * layers
    listed = config.values.get("moe_layer_freq")
    if isinstance(listed, list):
        if len(listed) != layers:
            raise config.error("moe_layer_freq", f"lists {len(listed)} layers, the model has {layers}")
        return [bool(routed) for routed in listed]
    dense_first = config.count("first_k_dense_replace", default=0, minimum=0)
    step = config.count("decoder_sparse_step", "moe_layer_freq", "interleave_moe_layer_step", default=1)
    offset = 1 if "decoder_sparse_step" in config.values or "interleave_moe_layer_step" in config.values else 0
    dense = config.values.get("mlp_only_layers") or []
    return [i >= dense_first and (i + offset) % step == 0 and i not in dense for i in range(layers)]
