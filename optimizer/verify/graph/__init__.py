"""Is an execution graph true? Rebuilt from the problem and the strategy, without the code that built it."""

from optimizer.verify.graph.check import verify_fleet_graph, verify_graph

__all__ = ["verify_fleet_graph", "verify_graph"]
