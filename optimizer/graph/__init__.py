"""From a strategy, or a placement, to the execution graph of one decode step."""

from optimizer.graph.build import build_graph
from optimizer.graph.place import plan_of, plan_of_inventory
from optimizer.graph.plan import DrawnPlan, InstancePlan, LinkPlace, StagePlan

__all__ = ["DrawnPlan", "InstancePlan", "LinkPlace", "StagePlan", "build_graph", "plan_of", "plan_of_inventory"]
