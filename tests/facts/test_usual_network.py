"""A network that is not stated is that of the nodes in which the GPU usually comes, and the answer says so."""

from __future__ import annotations

from typing import Any

import pytest

from optimizer import solve
from optimizer.reading.inventory_file import inventory_from_dict
from optimizer.reading.load import problem_from_dict
from optimizer.reading.stated import stated_of
from tests.conftest import changed


@pytest.mark.parametrize(
    ("gpu", "per_node", "gbit"),
    [
        ("h100-sxm-80gb", 8, 3200),
        ("h100-sxm-80gb", 4, 1600),
        ("a100-sxm-80gb", 8, 1600),
        ("b300-sxm-288gb", 8, 6400),
        ("gb200-nvl72", 4, 1600),
        ("v100-sxm-32gb", 8, 400),
        ("l40s-48gb", 8, 100),
    ],
)
def test_as_nodes_usually_come(example: dict[str, Any], gpu: str, per_node: int, gbit: float) -> None:
    example["hardware"] = {"gpu": gpu, "nodes": 2, "gpus_per_node": per_node}
    hardware = problem_from_dict(example).hardware
    assert hardware.internode_gbit_per_s == gbit
    (said,) = hardware.assumed
    assert f"{gbit:,} Gbit/s a node are taken" in said and "hardware.internode_gbit_per_s states it" in said


def test_what_is_stated_is_taken_and_nothing_is_said(example: dict[str, Any]) -> None:
    hardware = problem_from_dict(changed(example, hardware__nodes=2, hardware__internode_gbit_per_s=200)).hardware
    assert hardware.internode_gbit_per_s == 200 and hardware.assumed == ()


def test_the_answer_says_it_where_there_is_a_network(example: dict[str, Any]) -> None:
    del example["hardware"]["internode_gbit_per_s"]
    one, two = (solve(problem_from_dict(changed(example, hardware__nodes=nodes))) for nodes in (1, 2))
    assert one.assumed == () and len(two.assumed) == 1


def test_groups_with_the_same_network_are_named_together(example: dict[str, Any]) -> None:
    groups = [{"name": name, "gpu": "h100-sxm-80gb", "nodes": 1} for name in ("a", "b")]
    rest = {
        key: value for key, value in example.items() if key not in ("hardware", "requirements", "search", "objective")
    }
    problem = inventory_from_dict({**rest, "cluster": [*groups, {"name": "c", "gpu": "l40s-48gb", "nodes": 1}]})
    first, second = problem.assumed
    assert "3,200 Gbit/s" in first and first.endswith("internode_gbit_per_s of a, b states it")
    assert "100 Gbit/s" in second and second.endswith("internode_gbit_per_s of c states it")


def test_a_statement_of_it_leaves_it_open(example: dict[str, Any]) -> None:
    """So that a sweep over nodes says it too."""
    del example["hardware"]["internode_gbit_per_s"]
    problem = problem_from_dict(example)
    assert "internode_gbit_per_s" not in stated_of(problem).values["hardware"]
    assert stated_of(problem).problem() == problem
