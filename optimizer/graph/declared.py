"""The link classes that a graph declares: those of every kind of node in use, and of messages from one kind to another."""

from __future__ import annotations

from optimizer.graph.links import joined, links_of
from optimizer.graph.plan import DrawnPlan
from optimizer.results.graph import GraphLink


def declared_links(plan: DrawnPlan) -> tuple[GraphLink, ...]:
    """Each once, in the order in which the plan needs them."""
    kinds = {id(stage.hardware): stage.hardware for instance in plan.instances for stage in instance.stages}
    found = dict.fromkeys(link for facts in kinds.values() for link in links_of(facts).values())
    for instance in plan.instances:
        if instance.part_stages:
            last, first = (instance.stages[instance.part_stages[0] + step].hardware for step in (-1, 0))
            found.setdefault(joined(links_of(last)["network"], links_of(first)["network"]))
    return tuple(found)
