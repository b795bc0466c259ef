"""Is an answer about an inventory true? Recomputed from the facts, failures enumerated and simulated."""

from optimizer.verify.inventory.check import verify_inventory

__all__ = ["verify_inventory"]
