"""Which node runs which part, what no launcher can express, and how much of the load each instance gets."""

from __future__ import annotations

import pytest

from optimizer.deployment.parts import instances_hit, launches
from optimizer.deployment.router import weights_of
from optimizer.facts.errors import ProblemError
from optimizer.facts.problem import Problem
from optimizer.results.placement import GpuPlace, PlacedInstance, Placement, place_evenly
from tests.deploy.cases import commands_in, files_of, problem, strategy, value, written

crossplane = pytest.importorskip("crossplane")


def _ranks(case: str, engine: str) -> dict[str, list[str]]:
    files, _, _ = files_of(case, engine, "shell")
    flags = ("--node-rank", "--nnodes", "--master-addr", "--dist-init-addr")
    return {
        name: [str(value(process["words"], flag)) for process in commands_in({name: text}) for flag in flags]
        for name, text in files.items()
        if name.startswith("start-node")
    }


def test_nodes_of_an_instance_find_each_other() -> None:
    assert _ranks("stages on two nodes", "vllm") == {
        "start-node-0.sh": ["0", "2", "node-0", "None"],
        "start-node-1.sh": ["1", "2", "node-0", "None"],
        "start-node-2.sh": ["0", "2", "node-2", "None"],
        "start-node-3.sh": ["1", "2", "node-2", "None"],
    }
    assert _ranks("stages on two nodes", "sglang")["start-node-3.sh"] == ["1", "2", "None", "node-2:25000"]


def test_only_the_first_node_answers_requests() -> None:
    files, _, _ = files_of("four nodes, one instance", "vllm", "shell")
    serving = [name for name, text in files.items() if name.startswith("start-node") and "--port" in text]
    headless = [name for name, text in files.items() if "--headless" in text]
    assert serving == ["start-node-0.sh"]
    assert headless == ["start-node-1.sh", "start-node-2.sh", "start-node-3.sh"]


def test_sglang_counts_a_stage_over_all_replicas() -> None:
    files, _, _ = files_of("one engine, replicas of two stages", "sglang", "shell")
    process = commands_in(files)[0]
    assert process["environment"]["CUDA_VISIBLE_DEVICES"] == "0,1,4,5,2,3,6,7"
    files, _, _ = files_of("one engine, replicas of two stages", "sglang", "compose")
    assert commands_in(files)[0]["environment"]["CUDA_VISIBLE_DEVICES"] == "0,1,4,5,2,3,6,7"


def _unequal(tp: int, pp: int, engine: str, target: str) -> tuple[dict[str, str], Problem]:
    """24 GPUs as 3 nodes of 8, instances of 12: parts of 8+4 and 4+8."""
    stated = problem("llama3-70b", 3, engine)
    return written(stated, strategy(stated, tp, pp, 2), target)


def test_unequal_parts_are_refused_where_no_launcher_takes_them() -> None:
    for target in ("shell", "kubernetes", "compose"):
        with pytest.raises(ProblemError, match=r"8\+4 GPUs.*--target ray can place it"):
            _unequal(4, 3, "vllm", target)
    with pytest.raises(ProblemError, match=r"8\+4 GPUs.*use --engine vllm"):
        _unequal(4, 3, "sglang", "shell")


def test_ray_takes_two_unequal_parts() -> None:
    files, _ = _unequal(4, 3, "vllm", "ray")
    starts = "".join(text for name, text in files.items() if name.endswith(".sh"))
    for wanted in ("--head --port=6379", "--num-gpus=8", "--num-gpus=4", "--address=node-0:6379", '"GPU", 0) < 12'):
        assert wanted in starts
    # Both instances meet on node-1: their clusters must not share ports.
    assert "--head --port=6380" in starts
    assert "--dashboard-agent-listen-port=52366" in starts


def test_whole_replicas_may_be_unequally_many_per_node() -> None:
    stated = problem("qwen3-235b-a22b", 2)
    chosen = strategy(stated, 4, 1, 3, 12)
    files, _ = written(stated, chosen, "shell")
    first, second = commands_in(files)
    assert [value(first["words"], f"--data-parallel-{flag}") for flag in ("size", "size-local", "start-rank")] == [
        "3",
        "2",
        None,
    ]
    assert [value(second["words"], f"--data-parallel-{flag}") for flag in ("size", "size-local", "start-rank")] == [
        "3",
        "1",
        "2",
    ]
    with pytest.raises(ProblemError, match="pods of a LeaderWorkerSet are equal"):
        written(stated, chosen, "kubernetes")


def test_experts_over_some_gpus_of_an_engine_are_refused() -> None:
    stated = problem("qwen3-235b-a22b", 1)
    with pytest.raises(ProblemError, match=r"--ep: 2 is not possible with vLLM 0\.32\.0.*1 or 4 would be right"):
        written(stated, strategy(stated, 4, 1, 1, 2), "shell")
    stated = problem("qwen3-235b-a22b", 1, "sglang")
    files, _ = written(stated, strategy(stated, 4, 1, 1, 2), "shell")
    assert value(commands_in(files)[0]["words"], "--ep-size") == "2"


def test_more_sequences_than_tokens_in_a_step_are_refused() -> None:
    stated = problem("llama3-70b", 1)
    with pytest.raises(ProblemError, match=r"search\.max_num_batched_tokens: 4096 is below max_num_seqs = 5000"):
        written(stated, strategy(stated, 8, 1, 1, n=5000), "shell")


def test_alternating_nodes_are_a_defect() -> None:
    stated = problem("llama3-70b", 2)
    places = tuple(GpuPlace(f"node-{rank % 2}", rank // 2) for rank in range(4))
    instance = PlacedInstance("odd", 0, strategy(stated, 4, 1, 1), 1, 1.0, places)
    with pytest.raises(ValueError, match="alternate"):
        launches(Placement((instance,)))


def test_weights_are_the_shares() -> None:
    assert weights_of([0.25, 0.25, 0.25, 0.25]) == [1, 1, 1, 1]
    assert weights_of([1 / 3] * 3) == [1, 1, 1]
    assert weights_of([0.6, 0.4]) == [3, 2]
    assert weights_of([0.125, 0.375, 0.5]) == [1, 3, 4]
    shares = [0.5137, 0.4863 / 3, 0.4863 / 3, 0.4863 / 3]
    weights = weights_of(shares)
    for share, weight in zip(shares, weights, strict=True):
        assert abs(weight / sum(weights) - share) < 2e-4


def test_the_router_is_what_nginx_understands(tmp_path: object) -> None:
    from pathlib import Path

    files, _, _ = files_of("many nodes, spread", "vllm", "shell")
    path = Path(str(tmp_path)) / "router.conf"
    path.write_text(files["router.conf"])
    for name in ("engines", "paths"):
        (path.parent / f"{name}.conf").write_text("")
    parsed = crossplane.parse(str(path), strict=True, check_ctx=True, check_args=True)
    assert parsed["status"] == "ok", parsed["errors"]
    listed = files["start-router.sh"].split("engines='")[1].split("'")[0].splitlines()
    ports = {"node-0": ["8001", "8002"], "node-1": ["8001"], "node-2": ["8001"]}
    assert listed == [f"{node}:{port} 1" for node, own in ports.items() for port in own]


def test_what_may_be_away_comes_from_the_placement() -> None:
    stated = problem("llama3-70b", 3)
    placement = place_evenly(stated, strategy(stated, 4, 1, 4))
    nodes = [frozenset({name}) for name in ("node-0", "node-1", "node-2")]
    assert instances_hit(placement, [], 0) == 0
    assert instances_hit(placement, [], 1) == 1
    assert instances_hit(placement, [(nodes, 1)], 1) == 2
    assert instances_hit(placement, [(nodes, 2)], 0) == 3
    assert instances_hit(placement, [([frozenset({"node-0", "node-1"})], 1)], 0) == 3
    spanning = place_evenly(stated, strategy(stated, 4, 3, 2))
    assert instances_hit(spanning, [(nodes, 1)], 0) == 2
