"""From a strategy, or a placement, to the execution graph of one decode step."""

from optimizer.graph.build import build_graph
from optimizer.graph.place import plan_of, plan_of_fleet
from optimizer.graph.plan import InstancePlan, Place, Plan, StagePlan

__all__ = ["InstancePlan", "Place", "Plan", "StagePlan", "build_graph", "plan_of", "plan_of_fleet"]
