"""Reports about inventories: which groups a sentence names, what is proposed for each, and figures of one group and of all."""

from __future__ import annotations

from typing import Any

import pytest

from optimizer.auditing.ask import audit
from optimizer.auditing.inventory.groups import GroupNames
from optimizer.auditing.inventory.ledger import answer_about, ledger_of
from optimizer.auditing.inventory.plan import read_plan
from optimizer.auditing.reading import read_report
from optimizer.auditing.shell import commands_in
from optimizer.questions.inventory import inventory_from_dict

FILE: dict[str, Any] = {
    "name": "two-rooms",
    "engine": "vllm",
    "cluster": [
        {"name": "fast", "gpu": "h100-sxm-80gb", "nodes": 2, "gpus_per_node": 4, "internode_gbit_per_s": 400,
         "price_per_gpu_hour": 2.5, "zone": "north"},
        {"name": "ada-pool", "gpu": "l40s-48gb", "nodes": 3, "gpus_per_node": 4, "internode_gbit_per_s": 100,
         "price_per_gpu_hour": 0.9, "zone": "south"},
    ],
    "model": "qwen2.5-32b",
    "workload": {"prompt_tokens": 800, "output_tokens": 200, "requests_per_s": 6},
    "requirements": {"max_batch": 32, "max_sequence_tokens": 4096, "ttft_p99_ms": 3000, "tpot_p99_ms": 90},
}  # fmt: skip
PLAN = "We run two TP4 replicas on the H100s and one TP4 instance on each L40S node."


@pytest.fixture(scope="module")
def problem() -> Any:
    return inventory_from_dict(FILE)


def plan_of(text: str, problem: Any) -> list[tuple[int | None, int | None, int | None]]:
    statements = read_report(text)
    plan = read_plan(statements, commands_in(statements), problem, GroupNames(problem))
    return [(one.tp, one.pp, one.count) for shapes in plan.groups for one in shapes]


@pytest.mark.parametrize(
    ("text", "groups"),
    [
        ("The H100s do most of the work.", {0}),
        ("ada-pool has three nodes.", {1}),
        ("The ada pool is older.", {1}),
        ("fast-1 is the first to go.", {0}),
        ("The fast nodes stand in the north.", {0}),
        ("That is fast enough.", set()),
        ("An A100 would do as well.", set()),
        ("H100 and L40S differ.", {0, 1}),
    ],
)
def test_groups_are_named_by_name_node_or_gpu(text: str, groups: set[int], problem: Any) -> None:
    assert GroupNames(problem).of(text) == groups


@pytest.mark.parametrize(
    ("text", "groups"),
    [
        (PLAN, [(4, None, 2), (4, None, 3)]),
        ("The fast group runs 4 × TP2·PP1, the ada-pool 6 × TP2·PP1.", [(2, 1, 4), (2, 1, 6)]),
        ("Jede Instanz belegt vier Karten. Zwei Instanzen laufen auf den H100, drei weitere auf den L40S.",
         [(4, None, 2), (4, None, 3)]),
        ("| Group | TP | PP | Instances |\n|---|---|---|---|\n| fast | 4 | 1 | 2 |\n| ada-pool | 2 | 2 | 3 |\n",
         [(4, 1, 2), (2, 2, 3)]),
        ("Auf den H100 läuft eine Instanz mit TP8. Auf ada-pool laufen drei Instanzen mit TP4, eine je Server.",
         [(8, None, 1), (4, None, 3)]),
        ("* fast: 2 x TP2 and 1 x TP4\n* ada-pool: 3 x TP4, one per node", [(2, None, 2), (4, None, 1), (4, None, 3)]),
        ("If fast-0 fails, two instances remain.\n\nTP4 on the H100s.", [(4, None, None), (None, None, None)]),
        ("Two TP4 replicas stand on the H100 nodes. The L40S cards stay idle.", [(4, None, 2), (None, None, 0)]),
        ("On fast:\n\n```bash\nvllm serve m --tensor-parallel-size 4\n```\n\nOn ada-pool:\n\n```bash\nvllm serve m "
         "--tensor-parallel-size 2\n```\n", [(4, None, None), (2, None, None)]),
    ],
)  # fmt: skip
def test_instances_are_read_group_by_group(
    text: str, groups: list[tuple[int | None, int | None, int | None]], problem: Any
) -> None:
    assert plan_of(text, problem) == groups


def test_the_ledger_adds_the_groups_up(problem: Any) -> None:
    statements = read_report(PLAN)
    plan = read_plan(statements, (), problem, GroupNames(problem))
    answer = answer_about(problem, plan)
    assert answer is not None and answer.gpus_used == 20
    ledger = ledger_of(problem, plan, answer)
    fast, ada = ledger.groups
    assert (fast["used"], ada["used"], ledger.whole["used"], ledger.whole["spare"]) == (8, 12, 20, 0)
    assert ledger.whole["price_used"] == answer.price_per_hour == pytest.approx(8 * 2.5 + 12 * 0.9)
    assert ledger.whole["power_used"] == 8 * 700 + 12 * 350
    assert ledger.whole["price_million"] == pytest.approx(30.8 / (6 * 200 * 3600) * 1e6)
    assert fast["share"] + ada["share"] == pytest.approx(100)


@pytest.mark.parametrize(
    "text",
    [
        "TP0 on the H100s.",
        "TP0. 99999999999 instances on the H100s.",
        "On fast:\n\n```\nvllm serve m --tensor-parallel-size 0\n```\n",
        "| Group | TP | Instances |\n|---|---|---|\n| fast | 0 | 0 |\n",
        "0 GPUs are in use, at -1 kW and 0.00 per hour in total.",
        "",
    ],
)
def test_degrees_that_cannot_be_end_in_no_strategy(text: str, problem: Any) -> None:
    assert audit(text, problem).strategy is None


TRUE = (
    "There are 20 GPUs in all.",
    "All 20 GPUs are busy.",
    "An H100 is charged at 2.50 per hour.",
    "The GPUs in use cost 30.80 per hour.",
    "The H100 nodes are joined at 400 Gbit/s, which is 50 GB/s.",
    "The L40S moves 864 GB/s from its memory.",
    "The twelve L40S draw at most 4.2 kW.",
    "The fast nodes stand in the zone north.",
    "The H100s are in the zone north, ada-pool in the zone south.",
    "At the 6 requests/s 1,200 output tokens are generated per second.",
    "The H100s are eight GPUs together.",
    "A cloud would charge 5.00 per hour.",
    "If fast-0 fails, four instances are left.",
    "Each of the 64 layers is split over four cards.",
)
WRONG = (
    ("16 GPUs are busy.", "20"),
    ("The GPUs in use cost 28.40 per hour.", "30.80 an hour"),
    ("An H100 reads its memory at 864 GB/s.", "3.35 TB/s"),
    ("The eight H100s draw 6.4 kW.", "5,600 W"),
    ("The fast nodes stand in the zone south.", "north"),
    ("The model has 60 layers.", "64"),
    ("Together that is 24 GPUs.", "20"),
    ("The L40S come to 12.60 per hour.", "10.80 an hour"),
    ("5,800 tokens/s of prompts are read.", "4,800 tokens/s"),
    ("The L40S nodes have 100 Gbit/s or 25 GB/s.", "12.5 GB/s"),
    ("The H100s are in the zone south, ada-pool in the zone south.", "north"),
)


def claims(text: str, problem: Any) -> Any:
    return [one for one in audit(f"{PLAN}\n\n{text}\n", problem).claims if one.line == 3]


@pytest.mark.parametrize("text", TRUE)
def test_what_is_true_of_a_group_or_of_all_is_not_accused(text: str, problem: Any) -> None:
    assert [one.verdict for one in claims(text, problem) if one.verdict in ("refuted", "contradicted")] == []


def test_true_figures_of_inventories_are_confirmed(problem: Any) -> None:
    found = [any(one.verdict == "confirmed" for one in claims(text, problem)) for text in TRUE]
    assert sum(found) >= 8, [text for text, right in zip(TRUE, found, strict=True) if not right]


@pytest.mark.parametrize(("text", "right"), WRONG)
def test_what_is_wrong_for_every_group_it_may_mean_is_refuted(text: str, right: str, problem: Any) -> None:
    assert right in {one.expected for one in claims(text, problem) if one.verdict == "refuted"}
