"""The importer: the shared instance, near variants, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from optimizer.cli.program import main
from optimizer.facts.errors import ProblemError
from optimizer.questions.chain import solve_chain
from optimizer.reading.chain import chain_from_dict, load_chain
from optimizer.reading.helix import helix_to_chain
from tests.conftest import changed


def small(**changes: Any) -> dict[str, Any]:
    """Three nodes, four layers, links between all."""
    values: dict[str, Any] = {
        "name": "small",
        "num_layers": 4,
        "activation_bytes": 1000,
        "token_bytes": 2,
        "types": {"A": {"max_layers": 2, "tokens_per_s_by_layers": {"1": 100.0, "2": 45.5}}},
        "nodes": [{"index": n, "type": "A"} for n in range(3)],
        "links": [
            *({"src": "source", "dst": str(n), "tokens_per_s": 500.0} for n in range(3)),
            *({"src": str(n), "dst": "sink", "tokens_per_s": 500.0} for n in range(3)),
            *({"src": str(a), "dst": str(b), "tokens_per_s": 70.0} for a, b in ((0, 1), (0, 2), (1, 2))),
        ],
    }
    return changed(values, **changes)


def value_of(values: dict[str, Any]) -> float:
    answer = solve_chain(chain_from_dict(helix_to_chain(values)))
    assert answer.status == "optimal"
    assert answer.verification.passed
    return answer.value


def test_shared_instance_is_proved_optimal(shared: Path, tmp_path: Path) -> None:
    out = tmp_path / "problem.yaml"
    with pytest.raises(SystemExit) as left:
        main(["import", "helix", str(shared / "instances" / "helix_single24.json"), "--out", str(out)])
    assert left.value.code == 0
    problem = load_chain(out)
    assert [(len(problem.cluster.nodes), problem.model.layers)] == [(24, 80)]
    assert not problem.cluster.links, "one partition says the same in one line"
    answer = solve_chain(problem)
    assert (answer.status, answer.value, answer.bound) == ("optimal", 2045.641, 2045.641)
    assert answer.verification.passed
    assert answer.verification.optimality == "certificate"
    assert answer.published == pytest.approx(1289.556, abs=0.001)


def test_near_variants_mean_the_same() -> None:
    plain = value_of(small())
    bytes_per_s = small()
    for link in bytes_per_s["links"]:
        outer = link["src"] == "source" or link["dst"] == "sink"
        link["bandwidth_bytes_per_s"] = link.pop("tokens_per_s") * (2 if outer else 1000)
    assert value_of(bytes_per_s) == plain
    matrix = small()
    matrix["links"] = matrix["links"][:6]
    matrix["links_matrix"] = [[0 if a == b else 70.0 for b in range(3)] for a in range(3)]
    assert value_of(matrix) == plain
    regions = small()
    for node in regions["nodes"]:
        node["region"] = "west" if node["index"] else "east"
    assert value_of(regions) == plain
    listed = small()
    listed["types"]["A"]["tokens_per_s_by_layers"] = [100.0, 45.5]
    listed["nodes"] = ["A", "A", "A"]
    assert value_of(listed) == plain


def test_links_keep_their_capacities_whichever_form_they_take() -> None:
    values = small()
    values["links"][6]["tokens_per_s"] = 10.0
    values["links"][7]["tokens_per_s"] = 20.0
    values["links"][8].update(tokens_per_s=30.0, bidirectional=False)
    values["links"][0]["tokens_per_s"] = 5.0
    problem = chain_from_dict(helix_to_chain(values))
    found = {(a, b): problem.capacity(a, b) for a in "012" for b in "012" if a != b}
    assert found == {("0", "1"): 10, ("1", "0"): 10, ("0", "2"): 20, ("2", "0"): 20, ("1", "2"): 30, ("2", "1"): 0}
    assert [problem.capacity("source", n) for n in "012"] == [5, 500, 500]


def test_a_problem_file_may_be_json(tmp_path: Path) -> None:
    values = helix_to_chain(small())
    file = tmp_path / "problem.json"
    file.write_text(json.dumps(values))
    assert load_chain(file) == chain_from_dict(values)


def test_missing_links_are_no_links() -> None:
    values = small()
    values["links"] = [link for link in values["links"] if link["src"] != "source" or link["dst"] == "0"]
    problem = chain_from_dict(helix_to_chain(values))
    assert [problem.capacity("source", n) for n in "012"] == [500, 0, 0]
    assert problem.capacity("0", "1") == 70


@pytest.mark.parametrize(
    ("values", "field"),
    [
        (small(num_layers=None), "num_layers"),
        (small(types=None), "types"),
        (small(nodes=[]), "nodes"),
        (small(nodes=[{"index": 0}]), "nodes[0].type"),
        (small(nodes=[{"index": 0, "type": "A"}, {"index": 0, "type": "A"}], links=[]), "cluster.nodes[1].name"),
        (small(nodes=[{"index": 0, "type": "B"}], links=[]), "cluster.nodes[0].type"),
        (small(links=[{"src": "0", "dst": "9", "tokens_per_s": 1}]), "links[0]"),
        (small(links=[{"src": "0", "dst": "1"}]), "links[0]"),
        (small(links=["0-1"]), "links[0]"),
        (small(links=5), "links"),
        (small(links_matrix=[1, 2]), "links_matrix"),
        (small(coordinator=5), "coordinator"),
        (small(name=["a"]), "name"),
        (small(types__A__max_layers=0), "cluster.types.A.max_layers"),
        (small(types__A__tokens_per_s_by_layers={"one": 5.0}), "types.A"),
        (small(types__A__tokens_per_s_by_layers={"2": 5.0}), "cluster.types.A.throughput_tokens_per_s_by_layers"),
        (small(types__A__tokens_per_s_by_layers={"1": -5.0}), "cluster.types.A"),
        (small(num_layers=0), "model.layers"),
    ],
)
def test_refusals_name_the_field(values: dict[str, Any], field: str) -> None:
    with pytest.raises(ProblemError) as caught:
        chain_from_dict(helix_to_chain(values))
    assert caught.value.field.startswith(field), caught.value


def test_bandwidth_needs_the_bytes_of_a_token() -> None:
    values = small(activation_bytes=None)
    values["links"][6] = {"src": "0", "dst": "1", "bandwidth_bytes_per_s": 70.0}
    with pytest.raises(ProblemError) as caught:
        chain_from_dict(helix_to_chain(values))
    assert caught.value.field == "model.activation_bytes"


def test_command_line_solves_prints_and_draws(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    instance, problem, picture = tmp_path / "i.json", tmp_path / "p.yaml", tmp_path / "p.svg"
    instance.write_text(json.dumps(small()))
    for arguments in (
        ["import", "helix", str(instance), "--out", str(problem)],
        ["solve", str(problem), "--json", "--svg", str(picture)],
    ):
        with pytest.raises(SystemExit) as left:
            main(arguments)
        assert left.value.code == 0
    printed = capsys.readouterr().out
    data = json.loads(printed[printed.index("{") :])
    assert (data["kind"], data["status"]) == ("chain", "optimal")
    assert picture.read_text().startswith("<svg")
    values = yaml.safe_load(problem.read_text())
    values["requirements"] = {"max_stages": 1}
    problem.write_text(yaml.safe_dump(values))
    with pytest.raises(SystemExit) as left:
        main(["solve", str(problem)])
    assert left.value.code == 1
    assert "no placement" in capsys.readouterr().out


def test_links_that_all_differ_keep_the_regions_that_are_stated() -> None:
    """One partition a node would say the same, and the search would take every node for a site of its own."""
    values = small()
    for number, link in enumerate(values["links"]):
        link["tokens_per_s"] += number
    for node in values["nodes"]:
        node["region"] = "west" if node["index"] else "east"
    problem = chain_from_dict(helix_to_chain(values))
    assert [node.partition for node in problem.cluster.nodes] == ["east", "west", "west"]
    assert {problem.capacity(str(a), str(b)) for a, b in ((0, 1), (0, 2), (1, 2), (2, 1))} == {76, 77, 78}
