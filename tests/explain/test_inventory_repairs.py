"""Conflicts and repairs of inventories: real, minimal and least by solving each anew, and written into the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from optimizer.explain.inventory.conflict import rule_sentences
from optimizer.explain.inventory.relaxation import inventory_relaxations
from optimizer.facts.inventory import InventoryProblem
from optimizer.questions.inventory import solve_inventory
from optimizer.reading.inventory_file import inventory_from_dict
from optimizer.reading.stated import Stated
from optimizer.results.answer import Fixed
from optimizer.results.inventory import InventoryAnswer
from optimizer.search.inventory.candidates import Candidates
from optimizer.search.inventory.solve import InventorySolver
from tests.command import run
from tests.conftest import ROOT, changed
from tests.inventory.generate import random_inventory, tight_inventory

INFEASIBLE: list[dict[str, Any]] = [
    *(random_inventory(seed) for seed in (5, 6, 10, 23, 28, 30)),
    *(tight_inventory(seed) for seed in (0, 6)),
    # More beside weights and cache than engines take: the two small GPUs hold the model no more.
    tight_inventory(12)
    | {
        "engine_overhead": {
            "non_torch_mib": 3072,
            "communication_mib": 0,
            "cuda_graphs_mib": 1024,
            "activations_mib": 1024,
        }
    },
]
SEVEN = yaml.safe_load((ROOT / "problems" / "seven-h100.yaml").read_text())


def stands(problem: InventoryProblem) -> bool:
    """Whether any set of instances keeps every rule, looked for anew."""
    status = InventorySolver(problem, Candidates(problem)).any().status
    assert status in ("feasible", "infeasible")
    return status == "feasible"


def only(problem: InventoryProblem, rules: set[str]) -> InventoryProblem:
    off = (*problem.search.disabled_rules, *(rule for rule in rule_sentences(problem) if rule not in rules))
    return problem.model_copy(update={"search": problem.search.model_copy(update={"disabled_rules": off})})


@pytest.mark.parametrize("stated", INFEASIBLE, ids=lambda stated: stated["name"])
def test_conflicts_are_minimal_and_repairs_are_least(stated: dict[str, Any]) -> None:
    problem = inventory_from_dict(stated)
    answer = solve_inventory(problem, ranges=False)
    assert answer.status == "infeasible"
    (conflict,) = answer.conflicts
    rules = set(conflict.rules)
    assert conflict.minimal and not stands(only(problem, rules))
    assert all(stands(only(problem, rules - {rule})) for rule in rules)
    assert answer.repairs
    for repair in answer.repairs:
        new = Stated(stated).changed({change.field: change.new for change in repair.changes}).values
        assert stands(inventory_from_dict(new))
        assert repair.result and repair.result in repair.sentence
    least(problem, answer)


def least(problem: InventoryProblem, answer: InventoryAnswer) -> None:
    """At the setting before, the other changes are not enough."""
    for repair in answer.repairs:
        for change in repair.changes:
            settings = {one.field: one.new for one in repair.changes}
            base = problem
            for relaxation in inventory_relaxations(problem, Fixed()):
                if relaxation.field in settings and relaxation.field != change.field:
                    number = [one.changes(k)[0].new for one in [relaxation] for k in range(1, relaxation.steps + 1)]
                    other = next(one for one in inventory_relaxations(base, Fixed()) if one.field == relaxation.field)
                    base = other.at(1 + number.index(settings[relaxation.field]))
            moved = [
                relaxation for relaxation in inventory_relaxations(base, Fixed()) if relaxation.field == change.field
            ]
            for relaxation in moved:
                values = [relaxation.changes(k)[0].new for k in range(1, relaxation.steps + 1)]
                setting = 1 + values.index(change.new)
                assert not stands(relaxation.at(setting - 1) if setting > 1 else base), (repair.sentence, setting)


def test_what_helps_nothing_is_not_offered() -> None:
    """Deadlines have nothing to do with a rack that has to be outlived and holds everything."""
    answer = solve_inventory(
        inventory_from_dict(changed(SEVEN, requirements__survive={"gpu": 2}, workload__requests_per_s=4))
    )
    assert answer.conflicts[0].rules and not any("_ms" in repair.sentence for repair in answer.repairs)


def test_one_more_sequence_or_one_more_node_is_offered() -> None:
    """Slots are what lacks: one more of them is the least change; another box is not the only one."""
    stated = changed(
        SEVEN,
        cluster=[{"name": "box", "gpu": "h100-sxm-80gb", "nodes": 1}],
        requirements__max_batch=4,
        requirements__survive={},
        workload__requests_per_s=0.35,
        search={"tensor_parallel": [8]},
    )
    answer = solve_inventory(inventory_from_dict(stated), ranges=False)
    assert answer.status == "infeasible"
    said = {repair.changes[0].field: repair.changes[0].new for repair in answer.repairs}
    assert said["requirements.max_batch"] == 5 and said["cluster.0.nodes"] == 2
    # TP8 alone was searched: narrower instances would do.
    assert answer.within == "searched space" and answer.cut_by == ("search.tensor_parallel",)


def test_a_repair_is_written_into_the_file(tmp_path: Path) -> None:
    file, out = tmp_path / "seven.yaml", tmp_path / "more.yaml"
    file.write_text(yaml.safe_dump(changed(SEVEN, workload__requests_per_s=12)))
    refused = run("solve", str(file), "--apply-repair", "9", "--out", str(out))
    assert refused.returncode == 2 and "--apply-repair: 9 is not allowed" in refused.stderr and not out.exists()
    written = run("solve", str(file), "--apply-repair", "2", "--out", str(out))
    assert written.returncode == 1 and "1. Lower workload.requests_per_s from 12 to 7.68" in written.stdout
    assert "Wrote" in written.stderr
    assert yaml.safe_load(out.read_text())["cluster"][0]["nodes"] == 2
    assert run("solve", str(out)).returncode == 0


def test_ctrl_c_while_explaining_keeps_what_is_proved(monkeypatch: pytest.MonkeyPatch) -> None:
    import optimizer.explain.inventory.repair as module

    def stops(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "inventory_repairs", stops)
    answer = solve_inventory(inventory_from_dict(changed(SEVEN, workload__requests_per_s=12)))
    assert answer.status == "infeasible" and answer.conflicts and not answer.repairs


def test_check_names_the_conflict_and_the_optimum_and_looks_for_repairs_when_asked() -> None:
    seven = str(ROOT / "problems" / "seven-h100.yaml")
    plain = run("check", seven, "--tp", "4", "--pp", "1")
    assert plain.returncode == 1 and "No set of instances with the fixed decisions on the 7 free GPUs" in plain.stdout
    assert "cannot hold" in plain.stdout and "Add --repairs for the smallest changes" in plain.stdout
    assert "Without these decisions the best for this inventory is 3 × TP2·PP1 on h100" in plain.stdout
    asked = run("check", seven, "--tp", "4", "--pp", "1", "--repairs")
    assert "1. Lower requirements.survive.gpu from 1 to 0" in asked.stdout and "Add --repairs" not in asked.stdout
