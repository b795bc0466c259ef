"""Is an execution graph true? Rebuilt from the problem and the strategy, without the code that built it."""

from optimizer.verify.graph.check import verify_graph, verify_inventory_graph

__all__ = ["verify_graph", "verify_inventory_graph"]
