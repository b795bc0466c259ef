"""Ids of rules by what decides them (``docs/model.md``, section 7). A new rule is named once, in the group it belongs to."""

from __future__ import annotations

SURVIVE = "survive_"
"""Rules on what is lost: this and the level."""
DEGREE_RULES = frozenset(
    {
        "attention_heads", "kv_heads", "ffn_width", "vocabulary", "experts", "expert_groups", "layer_split",
        "weight_format", "kv_format", "quant_blocks", "quant_groups", "quant_expert_groups",
    }
)  # fmt: skip
"""Decided by degrees and formats, whatever the number of nodes, the load and the limits."""
SHAPE_RULES = DEGREE_RULES | {"nvlink_locality", "context"}
"""Decided by the hardware and the model for one replica."""
HARDWARE_RULES = SHAPE_RULES | {"gpu_count", "power_total", "power_node", "memory", "state_blocks"}
"""What the hardware and the model set; all others are what a person requires."""
STATIC_RULES = HARDWARE_RULES | {"max_batch", "min_batch"}
"""Decided by degrees and bytes, before any time is known."""
NODE_RULES = frozenset({"gpu_count", "power_total", "power_node", "nvlink_locality", "survive_node"})
"""Depend on the number of nodes."""


def survived_level(rule_id: str) -> str | None:
    """The level whose losses a rule is about (``survive_node``: node); None: it is about something else."""
    return rule_id.removeprefix(SURVIVE) if rule_id.startswith(SURVIVE) else None
