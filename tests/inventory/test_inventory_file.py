"""Problem files with ``cluster:``: what is accepted, and that every refusal names the field and what would be right."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from optimizer.facts.errors import ProblemError
from optimizer.reading.inventory_file import inventory_from_dict

GOOD: dict[str, Any] = {
    "name": "good",
    "cluster": [
        {"name": "a", "gpu": "h100-sxm-80gb", "nodes": 4, "free_gpus": 7, "racks": 2, "zone": "x"},
        {"name": "b", "gpu": "l40s-48gb", "nodes": 2, "rack": "r9", "nics": 2, "nic_gbit_per_s": 100},
    ],
    "domains": {"switch": {"s1": ["a", "b"]}},
    "failures": {"gpu_mtbf_hours": {"value": 50_000, "low": 20_000, "high": 90_000}, "zone_mtbf_hours": 8_000},
    "model": "llama3-8b",
    "workload": {"prompt_tokens": 100, "output_tokens": 100, "requests_per_s": 2},
    "requirements": {"survive": {"node": 1, "switch": 0, "demand_share": 0.5}, "max_sequence_tokens": 2048},
}


def test_what_is_stated_is_what_is_meant() -> None:
    problem = inventory_from_dict(GOOD)
    a, b = problem.groups
    assert problem.gpus == 4 * 7 + 2 * 8
    assert [a.rack_of(node) for node in range(4)] == ["a-rack-0", "a-rack-0", "a-rack-1", "a-rack-1"]
    assert b.rack_of(0) == "r9" and b.internode_gbit_per_s == 200 and b.nvlink_domain_gpus == 1
    assert problem.levels() == ("gpu", "node", "rack", "zone", "switch")
    assert [(one.level, one.count) for one in problem.survive] == [("node", 1)] and problem.demand_share == 0.5
    assert problem.failures.gpu_mtbf_hours.low == 20_000 and problem.failures.zone_mtbf_hours is not None
    assert problem.failures.unavailability("zone") == pytest.approx(2.2 / 8_002.2)


BAD = {
    "both forms": (("hardware",), {"gpu": "h100-sxm-80gb"}, "hardware: stands beside cluster"),
    "unknown gpu": (("cluster", 0, "gpu"), "h100-sxm-80", "cluster.0.gpu: no GPU 'h100-sxm-80'"),
    "more free than there are": (("cluster", 0, "free_gpus"), 9, "cluster.0.free_gpus: 9 is more than the 8"),
    "uneven racks": (("cluster", 0, "racks"), 3, "cluster.0.racks: 4 nodes are not spread equally over 3"),
    "rack and racks": (("cluster", 0, "rack"), "r1", "cluster.0.racks: stands beside rack"),
    "same name": (("cluster", 1, "name"), "a", "cluster.1.name: 'a' is taken"),
    "cards without speed": (("cluster", 0, "nics"), 4, "cluster.0.nics"),
    "no nodes": (("cluster", 0, "nodes"), 0, "cluster.0.nodes: 0 is not allowed"),
    "empty cluster": (("cluster",), [], "cluster: is empty"),
    "unknown group in a domain": (("domains", "switch"), {"s": ["c"]}, "domains.switch.s: no group 'c'"),
    "level of its own": (("domains",), {"rack": {"s": ["a"]}}, "domains.rack: is a level of its own"),
    "unknown level": (("requirements", "survive"), {"row": 1}, "requirements.survive.row"),
    "too many losses": (("requirements", "survive"), {"node": 3}, "requirements.survive.node: 3 is not a whole number"),
    "share above one": (("requirements", "survive"), {"demand_share": 2}, "requirements.survive.demand_share"),
    "range upside down": (
        ("failures", "gpu_mtbf_hours"),
        {"value": 5, "low": 9, "high": 10},
        "failures.gpu_mtbf_hours: low 9.0 ≤ value 5.0",
    ),
    "too many tokens": (
        ("requirements", "max_sequence_tokens"),
        150,
        "workload: the longest request, prompt and output together, has 200",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_refusals_name_the_field(name: str) -> None:
    path, value, message = BAD[name]
    values = copy.deepcopy(GOOD)
    inner: Any = values
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    with pytest.raises(ProblemError) as caught:
        inventory_from_dict(values)
    assert message in str(caught.value)
