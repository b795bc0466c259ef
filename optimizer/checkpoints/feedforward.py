"""MLPs and experts: widths, matrices, and which layers have experts."""

from __future__ import annotations

from optimizer.checkpoints.attention import holds
from optimizer.checkpoints.config import Config
from optimizer.checkpoints.family import Family
from optimizer.checkpoints.parts import Experts, FeedForward, Linear

EXPERTS = ("n_routed_experts", "num_experts", "num_local_experts", "moe_num_experts")
PER_TOKEN = (
    "num_experts_per_tok",
    "experts_per_token",
    "num_experts_per_token",
    "moe_topk",
    "moe_k",
    "moe_top_k",
    "top_k_experts",
)
EXPERT_WIDTH = ("moe_intermediate_size", "expert_ffn_hidden_size")
SHARED_COUNT = ("n_shared_experts", "num_shared_experts", "moe_num_shared_experts", "num_shared_expert")
SHARED_WIDTH = (
    "moe_shared_expert_intermediate_size",
    "shared_expert_intermediate_size",
    "shared_intermediate_size",
    "share_expert_dim",
)
WIDTH = ("intermediate_size", "n_inner", "ffn_hidden_size", "ffn_dim", "dense_intermediate_size")


def mlp(prefix: str, hidden: int, width: int, *, gated: bool = True) -> tuple[Linear, ...]:
    """The matrices of an MLP; ``gated`` has two input projections."""
    gate = (Linear(f"{prefix}.gate_proj", hidden, width),) if gated else ()
    return (*gate, Linear(f"{prefix}.up_proj", hidden, width), Linear(f"{prefix}.down_proj", width, hidden))


def dense(config: Config, family: Family, hidden: int, width: int, prefix: str = "mlp") -> FeedForward:
    """An MLP of a width."""
    biases = (1 + family.gated) * width + hidden if holds(config, family.mlp_bias) else 0
    return FeedForward(mlp(prefix, hidden, width, gated=family.gated), biases, (width,))


def dense_width(config: Config, default: int | None = None) -> int:
    """Width of a layer's MLP where it has no experts."""
    return config.size(*WIDTH, default=default)


def first_of(config: Config, value: str, keys: tuple[str, ...]) -> int:
    """A count that may be one number or a list with one per layer of equal numbers (Hunyuan).

    Raises:
        ProblemError: the layers differ in it.
    """
    key, stated = config.first(*keys)
    if isinstance(stated, list):
        if len(set(stated)) != 1 or not isinstance(stated[0], int):
            raise config.error(key, f"differs from layer to layer in {value}, which is not modelled")
        return int(stated[0])
    return config.option(*keys, minimum=1)


def routed(config: Config, family: Family, hidden: int, prefix: str = "mlp") -> FeedForward:
    """Routed and shared experts of a layer that has them.

    Raises:
        ProblemError: a count is missing, or more experts are chosen than there are.
    """
    count = first_of(config, "experts", EXPERTS)
    per_token = first_of(config, "experts per token", PER_TOKEN)
    if per_token > count:
        raise config.error(config.first(*PER_TOKEN)[0], f"{per_token} is more than the {count} experts there are")
    stated = config.first(*EXPERT_WIDTH)[1]
    width = stated[0] if isinstance(stated, list) and len(set(stated)) == 1 else 0
    width = width or config.option(*EXPERT_WIDTH, default=0) or config.size("intermediate_size")
    # Latent experts (Nemotron 3 Super) work in a smaller space that the whole layer projects to and from.
    inner = config.option("moe_latent_size", default=0)
    small = hidden * count + 2 * hidden * inner
    small += count if family.router_linear_bias else 0
    small += count if holds(config, family.router_bias) or config.values.get("topk_method") == "noaux_tc" else 0
    shared = shared_width(config, family, width)
    small += hidden if shared and family.shared_gate else 0
    gates = 1 + family.gated
    small += gates * shared + hidden if shared and holds(config, family.mlp_bias) else 0
    experts = Experts(
        count=count,
        per_token=per_token,
        width=width,
        linears=mlp(f"{prefix}.experts.0", inner or hidden, width, gated=family.gated),
        small=gates * width + hidden if family.expert_bias else 0,
    )
    linears = mlp(f"{prefix}.shared_experts", hidden, shared, gated=family.gated) if shared else ()
    return FeedForward(linears, small, (shared,) if shared else (), experts)


def shared_width(config: Config, family: Family, width: int) -> int:
    """Width of the shared experts together; 0 without."""
    stated = config.first(*SHARED_WIDTH)[1]
    if stated is not None:
        return config.count(*SHARED_WIDTH, minimum=0)
    count = config.first(*SHARED_COUNT)[1]
    if isinstance(count, list):
        count = first_of(config, "shared experts", SHARED_COUNT)
        return int(count * width)
    number = config.option(*SHARED_COUNT, default=family.shared_experts)
    return number * width if number else config.option(*SHARED_WIDTH, default=0)


def layers_with_experts(config: Config, layers: int) -> list[bool]:
    """Which layers have routed experts; each family spells it in its own way.

    Raises:
        ProblemError: a list in the file does not fit the number of layers.
    """
    count = config.value(*EXPERTS)
    count = count[0] if isinstance(count, list) and count else count
    if not count or count == 1:
        return [False] * layers
    listed = (
        config.per_layer("moe_layer_freq", layers) if isinstance(config.values.get("moe_layer_freq"), list) else None
    )
    if listed is not None:
        return [bool(routed) for routed in listed]
    kinds = config.per_layer("mlp_layer_types", layers)
    if kinds is not None:
        return ["sparse" in str(kind) or "moe" in str(kind) for kind in kinds]
    enum = config.value("moe_layers_enum")
    if isinstance(enum, str | list):
        chosen = {int(i) for i in (enum.split(",") if isinstance(enum, str) else enum)}
        return [i in chosen for i in range(layers)]
    dense_first = config.option("first_k_dense_replace", "num_dense_layers", "moe_layer_start_index", default=0)
    last = config.option("moe_layer_end_index", default=-1, minimum=-1)
    last = layers - 1 if last < 0 else last
    step = config.option(
        "decoder_sparse_step",
        "moe_layer_freq",
        "interleave_moe_layer_step",
        "moe_layer_interval",
        "moe_layer_frequency",
        default=1,
        minimum=1,
    )
    after = any(
        config.value(key) is not None
        for key in ("decoder_sparse_step", "interleave_moe_layer_step", "moe_layer_interval")
    )
    dense_ones = config.values.get("mlp_only_layers") or []
    if not isinstance(dense_ones, list):
        raise config.error("mlp_only_layers", f"{dense_ones!r} is no list of layers")
    return [
        dense_first <= i <= last and (i + (1 if after else 0)) % step == 0 and i not in dense_ones
        for i in range(layers)
    ]
