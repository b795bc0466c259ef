"""Two types of GPU in one box (https://github.com/vllm-project/vllm/issues/27778): one machine, not two networked nodes."""

from __future__ import annotations

from typing import Any

import pytest

from optimizer import solve
from optimizer.facts.errors import ProblemError
from optimizer.questions.deploy import deploy
from optimizer.reading.inventory_file import inventory_from_dict

BOX: dict[str, Any] = {
    "cluster": [
        {
            "name": "v",
            "gpu": "v100-sxm-32gb",
            "nodes": 1,
            "gpus_per_node": 2,
            "nvlink_gb_per_s": 0,
            "pcie_gb_per_s": 16,
        },
        {"name": "a", "gpu": "a100-pcie-40gb", "nodes": 1, "gpus_per_node": 1},
    ],
    "domains": {"host": {"h1": ["v", "a"]}},
    "model": "qwen2.5-32b",
    "workload": {"prompt_tokens": 1000, "output_tokens": 300, "requests_per_s": 0.2},
    "requirements": {"max_sequence_tokens": 8192},
}


def test_cards_of_one_machine_reach_each_other_over_pcie() -> None:
    v, a = inventory_from_dict(BOX).groups
    assert (v.internode_gbit_per_s, a.internode_gbit_per_s) == (16 * 8, a.pcie_gb_per_s * 8)
    apart = inventory_from_dict({**BOX, "domains": {}}).groups[0]
    assert apart.internode_gbit_per_s == 100


def test_a_split_over_both_types_is_one_process_on_the_host() -> None:
    problem = inventory_from_dict(BOX)
    answer = solve(problem)
    assert answer.label == "1 × TP1·PP3 on v and a"
    assert answer.verification.passed
    script = deploy(problem, answer)["start-h1.sh"]
    for line in ("CUDA_VISIBLE_DEVICES=0,1,2", "CUDA_DEVICE_ORDER=PCI_BUS_ID", "VLLM_PP_LAYER_PARTITION=18,18,28"):
        assert line in script


def test_a_host_is_one_machine() -> None:
    several = [{**BOX["cluster"][0], "nodes": 2}, BOX["cluster"][1]]
    with pytest.raises(ProblemError, match=r"domains\.host\.h1.*group v has 2 nodes"):
        inventory_from_dict({**BOX, "cluster": several})
