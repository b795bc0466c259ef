"""Instances whose stages stand on two node groups: which node runs what, what launchers cannot express, SGLang's cache."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from optimizer.deployment import launch_files
from optimizer.deployment.chosen import chosen_of_inventory
from optimizer.deployment.options import resolve_options, with_hosts
from optimizer.facts.errors import ProblemError
from optimizer.facts.inventory import InventoryProblem
from optimizer.facts.problem import Problem
from optimizer.questions.inventory import solve_inventory
from optimizer.reading.inventory_file import inventory_from_dict
from optimizer.results.answer import Strategy
from optimizer.results.placement import GpuPlace, PlacedInstance, Placement
from tests.deploy.cases import commands_in, placed, value
from tests.deploy.test_command import _run
from tests.deploy.test_settings import _keeps
from tests.inventory.generate import tight_inventory

H100, A100, L40S = (
    {"name": name, "gpu": gpu, "nodes": nodes, "gpus_per_node": 4}
    for name, gpu, nodes in (("h100", "h100-sxm-80gb", 2), ("a100", "a100-sxm-40gb", 2), ("l40s", "l40s-48gb", 3))
)
Part = tuple[str, int, int]
"""Group, stages on it, nodes."""


def inventory() -> InventoryProblem:
    return inventory_from_dict(
        {
            "name": "two groups",
            "cluster": [H100, A100, L40S],
            "model": "qwen3-32b",
            "workload": {"prompt_tokens": 400, "output_tokens": 100, "requests_per_s": 1},
            "requirements": {"max_sequence_tokens": 2048},
            "search": {"kv_reservation": "full"},
        }
    )


def pipeline(tp: int, layers: tuple[int, ...], n: int = 16) -> Strategy:
    return Strategy(tp, len(layers), 1, 1, n, layers, "bf16", "bf16")


def stages(parts: tuple[Part, ...]) -> tuple[Problem, ...]:
    asked = inventory()
    held = ((asked.instance_problem(asked.group(group), nodes), count) for group, count, nodes in parts)
    return tuple(problem for problem, count in held for _ in range(count))


def written(
    engine: str, target: str, shape: Strategy, parts: tuple[Part, ...], gpus: list[str], copies: int = 1, **options: Any
) -> dict[str, str]:
    """Files of instances on GPUs such as ``h100-0:01``, one text for each node; a copy has the next GPUs of the same nodes."""
    problems = stages(parts)
    instances = []
    for copy in range(copies):
        places = [
            GpuPlace(node, int(index) + copy * len(indices))
            for node, indices in (text.split(":") for text in gpus)
            for index in indices
        ]
        instances.append(PlacedInstance(f"replica-{copy}", 0, shape, 1, 1 / copies, tuple(places)))
    placement = Placement(tuple(instances))
    hosts = options.pop("hosts", None)
    resolved = with_hosts(resolve_options(problems[0].model, engine, target, **options), hosts, placement.nodes)
    return launch_files(placed([problems], placement), resolved, "two groups")


AHEAD = pipeline(4, (30, 17, 17)), (("h100", 1, 1), ("a100", 2, 2)), ["h100-0:0123", "a100-0:0123", "a100-1:0123"]
BEHIND = pipeline(4, (17, 17, 30)), (("a100", 2, 2), ("h100", 1, 1)), ["a100-0:0123", "a100-1:0123", "h100-0:0123"]


def process(files: dict[str, str], name: str) -> dict[str, Any]:
    (found,) = commands_in({"start-node": files[name]}) if name.endswith(".sh") else commands_in({name: files[name]})
    return found


@pytest.mark.parametrize("target", ["shell", "compose"])
@pytest.mark.parametrize("case", [AHEAD, BEHIND], ids=["h100 first", "a100 first"])
@pytest.mark.parametrize("engine", ["vllm", "sglang"])
def test_nodes_come_in_the_order_of_the_stages(engine: str, case: Any, target: str) -> None:
    shape, parts, gpus = case
    files = written(engine, target, shape, parts, gpus)
    nodes = [text.split(":")[0] for text in gpus]
    for rank, node in enumerate(nodes):
        found = process(files, f"start-{node}.sh" if target == "shell" else f"compose-{node}.yaml")
        words, environment = found["words"], found["environment"]
        assert value(words, "--nnodes") == "3" and value(words, "--node-rank") == str(rank)
        head = "--master-addr" if engine == "vllm" else "--dist-init-addr"
        assert str(value(words, head)).split(":")[0] == nodes[0]
        split = environment["VLLM_PP_LAYER_PARTITION" if engine == "vllm" else "SGLANG_PP_LAYER_PARTITION"]
        assert split == ",".join(str(layers) for layers in shape.layers_per_stage)
        if target == "shell":
            assert environment["CUDA_VISIBLE_DEVICES"] == "0,1,2,3"
        else:
            reserved = found["service"]["deploy"]["resources"]["reservations"]["devices"]
            assert reserved[0]["device_ids"] == ["0", "1", "2", "3"]
        # 40 GB beside 80 GB: SGLang would take it for a GPU that something else uses.
        unchecked = environment.get("SGLANG_ENABLE_TP_MEMORY_INBALANCE_CHECK")
        assert unchecked == ("0" if engine == "sglang" else None)
    readme = files["README.md"]
    assert (
        "h100-0: 0, 1, 2, 3 (stage 0, h100-sxm-80gb)" in readme
        or "h100-0: 0, 1, 2, 3 (stage 2, h100-sxm-80gb)" in readme
    )
    assert "run on that node and no other" in readme


def test_like_memory_keeps_sglangs_check() -> None:
    files = written(
        "sglang", "shell", pipeline(4, (40, 24)), (("h100", 1, 1), ("h100", 1, 1)), ["h100-0:0123", "h100-1:0123"]
    )
    assert "INBALANCE" not in "".join(files.values())
    assert "(stage 1)" in files["README.md"] and "no other" not in files["README.md"]


def test_instances_that_meet_on_both_nodes() -> None:
    shape, parts = pipeline(2, (40, 24)), (("h100", 1, 1), ("l40s", 1, 1))
    files = written("vllm", "shell", shape, parts, ["h100-1:01", "l40s-2:01"], copies=2)
    first, second = commands_in({"start-node": files["start-h100-1.sh"]})
    assert [one["environment"]["CUDA_VISIBLE_DEVICES"] for one in (first, second)] == ["0,1", "2,3"]
    assert [value(one["words"], "--master-port") for one in (first, second)] == ["29501", "29502"]
    assert [value(one["words"], "--port") for one in (first, second)] == ["8001", "8002"]
    third, fourth = commands_in({"start-node": files["start-l40s-2.sh"]})
    assert [value(one["words"], "--node-rank") for one in (third, fourth)] == ["1", "1"]
    assert all("--headless" in one["words"] and value(one["words"], "--port") is None for one in (third, fourth))
    assert "h100-1:8001 1" in files["start-router.sh"] and "h100-1:8002 1" in files["start-router.sh"]


def test_ray_keeps_only_the_first_node_in_its_place() -> None:
    files = written("vllm", "ray", *AHEAD)
    assert "--head --port=6379" in files["start-h100-0.sh"] and "vllm serve" in files["start-h100-0.sh"]
    assert "--address=h100-0:6379" in files["start-a100-1.sh"]
    for engine in ("vllm", "sglang"):
        assert written(
            engine, "ray", pipeline(4, (40, 24)), (("a100", 1, 1), ("h100", 1, 1)), ["a100-0:0123", "h100-0:0123"]
        )
        with pytest.raises(ProblemError, match=r"stage 1 on a100-1 .* and stage 2 on h100-0 .*Use --target shell"):
            written(engine, "ray", *BEHIND)


def test_kubernetes_names_shell_at_once() -> None:
    """Also without --hosts: asking for hosts first would be in vain."""
    for hosts in (None, "alpha,beta,gamma"):
        with pytest.raises(ProblemError) as refused:
            written("vllm", "kubernetes", *AHEAD, hosts=hosts)
        assert str(refused.value) == (
            "--target: replica-0 has stage 0 on h100-0 (h100-sxm-80gb), stage 1 on a100-0 (a100-sxm-40gb) and stage 2 on a100-1 "
            "(a100-sxm-40gb); Kubernetes may put the pods of a LeaderWorkerSet on these nodes in another order. Use --target shell"
        )


def test_unequal_parts() -> None:
    uneven = pipeline(1, (24, 24, 16)), (("h100", 2, 1), ("l40s", 1, 1)), ["h100-0:01", "l40s-0:0"]
    for target in ("shell", "compose", "kubernetes"):
        with pytest.raises(ProblemError, match=r"2\+1 GPUs .*--target ray can place it.*as many GPUs of each node"):
            written("vllm", target, *uneven)
    with pytest.raises(ProblemError, match="use --engine vllm --target ray"):
        written("sglang", "shell", *uneven)
    files = written("vllm", "ray", *uneven)
    assert "--num-gpus=2" in files["start-h100-0.sh"] and "--num-gpus=1" in files["start-l40s-0.sh"]
    assert "h100-0: 0, 1 (stages 0 to 1, h100-sxm-80gb); l40s-0: 0 (stage 2, l40s-48gb)" in files["README.md"]
    four = pipeline(1, (16, 16, 16, 16)), (("h100", 2, 1), ("l40s", 2, 2)), ["h100-0:01", "l40s-0:0", "l40s-1:0"]
    for engine in ("vllm", "sglang"):
        for target in ("shell", "ray"):
            with pytest.raises(ProblemError, match=r"2\+1\+1 GPUs") as refused:
                written(engine, target, *four)
            assert "can place it" not in str(refused.value) and "--engine vllm" not in str(refused.value)


@pytest.mark.parametrize(
    ("tp", "split", "n"), [(4, (44, 20), 64), (4, (40, 24), 16), (2, (50, 14), 8), (1, (45, 19), 4)]
)
def test_sglangs_share_fits_both_gpus(tp: int, split: tuple[int, ...], n: int) -> None:
    from optimizer.costs.breakdown import breakdown
    from optimizer.costs.shapes import Shape

    parts = (("h100", 1, 1), ("a100", 1, 1))
    indices = "0123"[:tp]
    files = written("sglang", "shell", pipeline(tp, split, n), parts, [f"h100-0:{indices}", f"a100-0:{indices}"])
    share = float(str(value(process(files, "start-a100-0.sh")["words"], "--mem-fraction-static")))
    problems = stages(parts)
    held = breakdown(problems[0], Shape(tp, 2, 1, "bf16", "bf16", split), n, 1)["memory_bytes_by_stage"]
    _keeps(
        share,
        problems[0].requirements.gpu_memory_utilization,
        held,
        [one.hardware.gpu.memory_bytes for one in problems],
    )


def test_a_cache_that_sglang_cannot_give_is_refused() -> None:
    """20 layers leave the A100 19.9 GiB, 44 layers need 25.8 GiB of cache on the H100: SGLang would give both 19.9 GiB."""
    parts, shape = (("h100", 1, 1), ("a100", 1, 1)), pipeline(1, (44, 20), 75)
    gpus = ["h100-0:0", "a100-0:0"]
    with pytest.raises(ProblemError) as refused:
        written("sglang", "shell", shape, parts, gpus)
    assert "at most the 19.88 GiB" in str(refused.value) and "stage 0 needs 25.78 GiB; use --engine vllm" in str(
        refused.value
    )
    assert written("vllm", "shell", shape, parts, gpus)
    assert written("sglang", "shell", pipeline(1, (44, 20), 50), parts, gpus)


def test_an_answer_of_the_search_has_the_problem_of_each_stage() -> None:
    asked = inventory_from_dict(tight_inventory(9))
    answer = solve_inventory(asked, ranges=False)
    chosen = chosen_of_inventory(asked, answer, checked=False)
    (pool,), (held,) = answer.pools, chosen.problems
    assert [problem.hardware.gpu.name for problem in held] == [
        asked.group(part.group).gpu.name for part in pool.parts for _ in range(part.stages)
    ]
    assert len(held) == pool.strategy.pipeline_parallel and len(pool.parts) == 2


def test_the_command(tmp_path: Path) -> None:
    """Two pipelines of one L40S and one H100 each."""
    values = tight_inventory(7)
    found = _run(tmp_path, values, "--target", "compose", "--out", str(tmp_path / "files"))
    assert found.returncode == 0, found.stderr
    files = {path.name: path.read_text() for path in (tmp_path / "files").iterdir()}
    assert set(files) == {
        "README.md",
        "router.conf",
        "route.sh",
        "start-router.sh",
        "supervise.py",
        "process_tree.py",
        "process_log.py",
        "compose-l40s-48gb-1-0.yaml",
        "compose-h100-sxm-80gb-0-0.yaml",
    }
    ahead = yaml.safe_load(files["compose-l40s-48gb-1-0.yaml"])["services"]
    behind = yaml.safe_load(files["compose-h100-sxm-80gb-0-0.yaml"])["services"]
    assert set(ahead) == {"replica-0", "replica-1", "router"} and set(behind) == set(ahead)
    for name in ("replica-0", "replica-1"):
        assert (
            value(ahead[name]["command"], "--node-rank") == "0" and value(behind[name]["command"], "--node-rank") == "1"
        )
        splits = {one[name]["environment"]["VLLM_PP_LAYER_PARTITION"] for one in (ahead, behind)}
        (split,) = splits
        first, second = map(int, split.split(","))
        assert first + second == 32 and second > first
    refused = _run(tmp_path, values, "--target", "kubernetes")
    assert refused.returncode == 2 and "Use --target shell" in refused.stderr and refused.stderr.count("\n") == 1
