"""Many small unequal nodes that hold a model only together: what a chain over them carries is said beside "no instances"."""

from __future__ import annotations

from typing import Any

from optimizer.questions.inventory_chain import as_chain, beyond_two_groups
from optimizer.reading.inventory_file import inventory_from_dict
from tests.conftest import changed

SMALL: dict[str, Any] = {
    "model": "llama3-70b",
    "cluster": [
        {"name": "a", "gpu": "a100-sxm-40gb", "nodes": 2, "gpus_per_node": 1, "internode_gbit_per_s": 10},
        {"name": "l", "gpu": "l4-24gb", "nodes": 4, "gpus_per_node": 1, "internode_gbit_per_s": 1},
        {"name": "t", "gpu": "t4-16gb", "nodes": 4, "gpus_per_node": 1, "internode_gbit_per_s": 10},
    ],
    "workload": {"prompt_tokens": 763, "output_tokens": 232, "requests_per_s": 0.1},
}


def test_the_chain_has_the_nodes_and_the_slower_network_between_them() -> None:
    chain = as_chain(inventory_from_dict(SMALL))
    assert [node.name for node in chain.cluster.nodes][:3] == ["a-0", "a-1", "l-0"]
    assert chain.model.layers == 80
    # 1 and 10 Gbit/s; a token is 4 bytes for each of 8,192 hidden dimensions.
    assert chain.capacity("a-0", "l-0") == chain.capacity("l-0", "l-1") == 125_000_000 / 32_768
    assert chain.capacity("a-0", "t-0") == 1_250_000_000 / 32_768


def test_it_is_said_where_it_carries_the_demand() -> None:
    said = beyond_two_groups(inventory_from_dict(SMALL), 20)
    assert len(said) == 1
    assert said[0].startswith("One chain of layers over 10 of the 10 nodes, of a, l and t, would pass ")
    more = changed(SMALL, workload__requests_per_s=2)
    assert beyond_two_groups(inventory_from_dict(more), 20) == ()
    assert beyond_two_groups(inventory_from_dict(SMALL), 0.5) == ()
