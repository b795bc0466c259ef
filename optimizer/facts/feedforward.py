"""MLPs and experts of a Hugging Face config: widths, parameters, and which layers have experts."""

from __future__ import annotations

from dataclasses import dataclass

from optimizer.facts.config import Config

# The router has a correction bias per expert although the config does not name the method.
SIGMOID_ROUTERS = frozenset({"glm4_moe", "glm4_moe_lite", "glm_moe_dsa", "kimi_k2", "kimi_k25"})


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


def routed_experts(config: Config, model_type: str, hidden: int) -> Experts:
    """Routed and shared experts of a layer that has them."""
    experts = config.count("n_routed_experts", "num_experts", "num_local_experts")
    per_token = config.count("num_experts_per_tok", "experts_per_token", "num_experts_per_token", "moe_topk")
    if per_token > experts:
        raise config.error("num_experts_per_tok", f"{per_token} is more than the {experts} experts there are")
    width = config.count("moe_intermediate_size", "intermediate_size")
    one = 3 * hidden * width
    router = hidden * experts
    if model_type == "gpt_oss":
        one += 2 * width + hidden
        router += experts
    biased = config.values.get("topk_method") == "noaux_tc" or config.flag("use_routing_bias")
    if biased or model_type in SIGMOID_ROUTERS:
        router += experts
    shared = _shared_width(config, model_type, width)
    if shared and "shared_expert_intermediate_size" in config.values:
        router += hidden
    return Experts(experts, per_token, width, one, shared, 3 * hidden * shared, router)


def _shared_width(config: Config, model_type: str, width: int) -> int:
    count = config.count("n_shared_experts", default=1 if model_type == "llama4_text" else 0, minimum=0)
    if count:
        return count * width
    return config.count("shared_expert_intermediate_size", "shared_intermediate_size", default=0, minimum=0)


def dense_width(config: Config, hidden: int) -> int:
    """Width of a layer's MLP where it has no experts."""
    return config.count(
        "intermediate_size_mlp", "intermediate_size", "n_inner", "ffn_hidden_size", "ffn_dim", default=4 * hidden
    )


def layers_with_experts(config: Config, layers: int) -> list[bool]:
    """Which layers have routed experts: DeepSeek, Qwen and Mixtral spell it differently."""
    _, experts = config.first("n_routed_experts", "num_experts", "num_local_experts")
    if not experts or experts == 1:
        return [False] * layers
    dense_first = config.count("first_k_dense_replace", default=0, minimum=0)
    step = config.count("decoder_sparse_step", "moe_layer_freq", "interleave_moe_layer_step", default=1)
    offset = 1 if "decoder_sparse_step" in config.values or "interleave_moe_layer_step" in config.values else 0
    dense = config.values.get("mlp_only_layers") or []
    return [i >= dense_first and (i + offset) % step == 0 and i not in dense for i in range(layers)]
