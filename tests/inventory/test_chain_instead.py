"""Many small unequal nodes that hold a model only together: one chain of layers over them is the answer where instances have no room."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import jsonschema
import pytest

from optimizer.explain.chain.chosen import in_line
from optimizer.facts.inventory import InventoryProblem
from optimizer.questions.chain_costs import priced
from optimizer.questions.inventory import solve_inventory
from optimizer.questions.inventory_chain import as_chain, unjudged, with_chain
from optimizer.questions.solve import solve
from optimizer.reading.inventory_file import inventory_from_dict
from optimizer.render.envelope import answer_schema, envelope
from optimizer.reporting.ask import report
from optimizer.reporting.written.markdown import report_markdown
from optimizer.results.chain import ChainAnswer, LayersHeld
from optimizer.results.inventory import InventoryAnswer
from optimizer.verify.chain.demand import verify_demand
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


@pytest.fixture(scope="module")
def small() -> InventoryProblem:
    return inventory_from_dict(SMALL)


def asked(problem: InventoryProblem) -> InventoryAnswer | ChainAnswer:
    """As ``solve`` does, without looking for repairs of instances."""
    return with_chain(problem, solve_inventory(problem, ranges=False, explain="conflict"))


@pytest.fixture(scope="module")
def chosen(small: InventoryProblem) -> ChainAnswer:
    answer = asked(small)
    assert isinstance(answer, ChainAnswer)
    return answer


@pytest.mark.long
def test_solve_chooses_it_and_keeps_the_repairs_of_instances(small: InventoryProblem) -> None:
    answer = solve(small)
    assert isinstance(answer, ChainAnswer) and answer.instances is not None and answer.instances.repairs
    assert any("(--apply-repair N --out FILE): 1. Set search.weight_precision" in said for said in answer.explanation)


def test_the_chain_has_the_nodes_and_the_slower_network_between_them(small: InventoryProblem) -> None:
    chain = as_chain(small)
    assert [node.name for node in chain.cluster.nodes][:3] == ["a-0", "a-1", "l-0"]
    assert chain.model.layers == 80
    # 1 and 10 Gbit/s; a token is 4 bytes for each of 8,192 hidden dimensions.
    assert chain.capacity("a-0", "l-0") == chain.capacity("l-0", "l-1") == 125_000_000 / 32_768
    assert chain.capacity("a-0", "t-0") == 1_250_000_000 / 32_768


def test_of_three_gpus_two_are_one_tensor_parallel_group() -> None:
    three = {**SMALL, "cluster": [*SMALL["cluster"][:2], {**SMALL["cluster"][2], "gpus_per_node": 3}]}
    chain = as_chain(inventory_from_dict(three))
    assert [chain.cluster.types[name].gpus for name in "alt"] == [1, 1, 2]
    assert chain.alone["t"].hardware.gpus == 2


def test_a_chain_is_chosen_where_it_carries_the_demand(chosen: ChainAnswer) -> None:
    assert chosen.verification.passed and chosen.status == "optimal"
    assert chosen.demand is not None and chosen.instances is not None
    assert chosen.demand.tokens_per_request == 763 + 232 - 1
    assert chosen.demand.carried_requests_per_s == chosen.value / 994 > chosen.demand.requests_per_s == 0.1
    assert {held.type for held in chosen.placement} == {"a", "l", "t"}
    assert sum(held.layers for held in chosen.placement) == 80
    assert chosen.instances.status == "infeasible"
    assert chosen.explanation[0].startswith("No set of instances, each on one group or two, keeps every rule")
    assert any("VLLM_PP_LAYER_PARTITION=" in sentence for sentence in chosen.explanation)


def test_it_is_written_as_chains_are(small: InventoryProblem, chosen: ChainAnswer) -> None:
    data = envelope(chosen)
    jsonschema.validate(json.loads(json.dumps(data)), answer_schema())
    assert (data["kind"], data["feasible"], data["status"]) == ("chain", None, "optimal")
    assert data["instances"]["kind"] == "inventory" and data["instances"]["conflicts"]
    assert f"{chosen.value:,.3f}".replace(".", "\\.") in report_markdown(report(small, chosen).report)


def test_a_demand_above_the_bound_stays_infeasible_and_says_what_no_chain_passes() -> None:
    answer = asked(inventory_from_dict(changed(SMALL, workload__requests_per_s=0.5)))
    assert isinstance(answer, InventoryAnswer) and answer.status == "infeasible"
    assert answer.explanation[-1].startswith(
        "One chain of layers over all 10 nodes, one tensor-parallel group each, carries"
    )


def test_what_no_chain_can_be_judged_by_keeps_it_from_being_chosen() -> None:
    stated = changed(SMALL, requirements={"tpot_p99_ms": 90_000})
    assert unjudged(inventory_from_dict(stated)) == ("requirements.tpot_p99_ms",)
    answer = asked(inventory_from_dict(stated))
    assert isinstance(answer, InventoryAnswer) and answer.status == "infeasible"
    assert "It is not chosen: nothing is known of a chain about requirements.tpot_p99_ms" in answer.explanation[-1]


def test_the_verifier_refutes_a_chain_of_other_nodes_or_of_less_than_the_demand(
    small: InventoryProblem, chosen: ChainAnswer
) -> None:
    chain = priced(as_chain(small))
    assert verify_demand(small, chain, chosen, chosen.verification).passed
    assert chosen.demand is not None
    more = replace(chosen, demand=replace(chosen.demand, carried_requests_per_s=1.0))
    assert not verify_demand(small, chain, more, chosen.verification).passed
    for other in (
        changed(SMALL, workload__requests_per_s=0.5),
        {**SMALL, "cluster": [{**SMALL["cluster"][0], "nodes": 1}, *SMALL["cluster"][1:]]},
        {**SMALL, "cluster": [{**SMALL["cluster"][0], "internode_gbit_per_s": 0.5}, *SMALL["cluster"][1:]]},
    ):
        assert not verify_demand(inventory_from_dict(other), chain, chosen, chosen.verification).passed


@pytest.mark.parametrize(("held", "line"), [(((0, 2), (2, 1)), True), (((0, 2), (0, 2), (2, 1)), False)])
def test_an_engine_runs_one_node_after_the_other(held: tuple[tuple[int, int], ...], line: bool) -> None:
    placement = tuple(LayersHeld(str(n), "a", "a", start, count, 1.0, 1.0) for n, (start, count) in enumerate(held))
    assert in_line(placement, 3) == line
