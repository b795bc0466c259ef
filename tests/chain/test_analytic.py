"""``costs: analytic``: tables of nodes from facts, in two homes; what is refused; a whole answer."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest

from optimizer.costs.chain_nodes import NodeCosts
from optimizer.facts.errors import ProblemError
from optimizer.questions.chain import solve_chain
from optimizer.questions.chain_costs import priced
from optimizer.reading.chain import chain_from_dict
from optimizer.verify.chain.check import verify_chain
from optimizer.verify.chain.nodes import checked_table
from tests.conftest import changed

GPUS = {"A100": {"gpu": "a100-sxm-40gb"}, "L4": {"gpu": "l4-24gb"}, "T4x2": {"gpu": "t4-16gb", "gpus": 2}}


def stated(**changes: Any) -> dict[str, Any]:
    """Llama-3-8B over one A100, two L4 and a node of two T4."""
    nodes = [("a", "A100"), ("l0", "L4"), ("l1", "L4"), ("t", "T4x2")]
    values = {
        "kind": "chain",
        "costs": "analytic",
        "model": "llama3-8b",
        "workload": {"prompt_tokens": 763, "output_tokens": 232},
        "cluster": {"types": GPUS, "nodes": [{"name": name, "type": kind} for name, kind in nodes]},
    }
    return changed(values, **changes)


@pytest.mark.parametrize("model", ["llama3-8b", "gemma3-27b", "gpt-oss-20b"])
@pytest.mark.parametrize(("batch", "batches"), [(1, 1), (8, 4), (48, 3)])
def test_both_homes_agree(model: str, batch: int, batches: int) -> None:
    """One kind of layer, windows on some, experts; on the L4 and on two of them."""
    problem = chain_from_dict(
        stated(
            model=model,
            cluster={
                "types": {"one": {"gpu": "l4-24gb"}, "two": {"gpu": "l4-24gb", "gpus": 2}},
                "nodes": [{"name": "n", "type": "one"}],
            },
        )
    )
    for alone in problem.alone.values():
        table, own = NodeCosts(alone).table(batch, batches), checked_table(alone, batch, batches)
        assert list(table.tokens_per_s) == list(own)
        for layers, node in own.items():
            assert (
                0
                <= Fraction(node.tokens_per_s) - Fraction(table.tokens_per_s[layers])
                <= Fraction(1, 1000) + Fraction(1, 10**6)
            )
            assert (
                0 <= Fraction(table.time_ms[layers]) - Fraction(node.step_ms) <= Fraction(1, 1000) + Fraction(1, 10**6)
            )


def test_a_node_by_hand() -> None:
    """Four layers of Llama-3-8B on an L4, 8 requests of 763 and 232 tokens in a step; the slowest place is the end, with the head."""
    # 218,103,808 linear parameters a layer in 16 bit, 8,192 of norms; 300 GB/s x 0.9 of Ada x 0.85; 121 TFLOP/s x 0.78 x 0.77.
    memory, compute = 300e9 * 0.9, 121e12 * 0.78
    linear = 4 * (2 * 218_103_808 + 2 * 8_192) / (0.85 * memory) + 0.6 * 2 * 8 * 4 * 218_103_808 / (0.77 * compute)
    head = 2 * 128_256 * 4_096 / (0.85 * memory) + 0.6 * 2 * 8 * 128_256 * 4_096 / (0.77 * compute)
    # 8 KV heads of 128, keys and values, 16 bit; a request in progress has its prompt and half its answer.
    cache = 8 * 4 * 4_096 * (763 + 116) / (0.87 * memory)
    step = 1000 * (linear + head + cache) + 1.4 * 4 * 0.04265 + 8 * 0.012
    prompt = 1000 * (2 * 763 * 4 * 218_103_808 / (0.77 * compute) + 4 * 8_192 * 763**2 / (0.6 * compute))
    table = NodeCosts(chain_from_dict(stated()).alone["L4"]).table(8, 4)
    assert table.time_ms[4] == pytest.approx(step, abs=2e-3)
    assert table.tokens_per_s[4] == pytest.approx(1000 * 994 / (prompt + 231 * step / 8), rel=1e-5)


def test_more_layers_are_slower_and_more_cache_leaves_room_for_fewer() -> None:
    costs = NodeCosts(chain_from_dict(stated()).alone["L4"])
    few, many = costs.table(8, 4), costs.table(8, 40)
    rates = list(few.tokens_per_s.values())
    assert rates == sorted(rates, reverse=True)
    assert 0 < len(many.tokens_per_s) < len(few.tokens_per_s)
    assert many.tokens_per_s == dict(list(few.tokens_per_s.items())[: len(many.tokens_per_s)])


def test_a_chain_without_tables_is_solved_and_verified_from_facts() -> None:
    problem = chain_from_dict(stated())
    answer = solve_chain(problem, time_limit_s=20)
    assert answer.status == "optimal" and answer.verification.passed
    assert "the analytic model" in answer.search_limits[0]
    told = priced(problem)
    assert priced(told) is told
    types = dict(told.cluster.types)
    types["A100"] = types["A100"].model_copy(
        update={
            "throughput_tokens_per_s_by_layers": {
                layers: rate * 1.01 for layers, rate in types["A100"].throughput_tokens_per_s_by_layers.items()
            }
        }
    )
    better = told.model_copy(update={"cluster": told.cluster.model_copy(update={"types": types})})
    refuted = verify_chain(better, answer)
    assert not refuted.passed
    assert any(one.what.startswith("tokens/s of a A100") for one in refuted.mismatches)


def test_a_stated_batch_is_kept() -> None:
    told = priced(chain_from_dict(stated(workload={"prompt_tokens": 763, "output_tokens": 232, "batch": 5})))
    assert told.workload is not None and told.workload.batch == 5
    assert "5 requests in a step and the cache of 4 such batches" in told.costs_source


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"workload": None}, "workload"),
        ({"model": None}, "model"),
        ({"model": "no-such"}, "model"),
        ({"costs": "table"}, "workload"),
        ({"cluster__types": {**GPUS, "L4": {"gpu": "l5"}}}, "cluster.types.L4.gpu"),
        ({"cluster__types": {**GPUS, "L4": {}}}, "cluster.types.L4.gpu"),
        ({"workload": {"prompt_tokens": 9000, "output_tokens": 9}}, "workload"),
        (
            {"workload": {"prompt_tokens": 9, "output_tokens": 9, "weight_precision": "fp9"}},
            "workload.weight_precision.0",
        ),
        ({"cluster__types": {**GPUS, "L4": {"gpu": "l4-24gb", "gpus": 3}}}, "cluster.types.L4"),
    ],
)
def test_what_is_refused(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(ProblemError) as raised:
        priced(chain_from_dict({name: value for name, value in stated(**changes).items() if value is not None}))
    assert raised.value.field == field


def test_why_not_moves_the_others_around_stated_layers() -> None:
    """The best is a line of single nodes: with one of them at the front the others follow in their order, and nothing is lost."""
    from optimizer.questions.chain_check import why_not_chain
    from optimizer.reading.proposal import chain_proposal_from_dict

    problem = priced(
        chain_from_dict(
            stated(
                model="llama3-70b",
                cluster__nodes=[
                    {"name": f"{kind}{number}", "type": kind}
                    for kind, count in (("A100", 2), ("L4", 4), ("T4x2", 2))
                    for number in range(count)
                ],
            )
        )
    )
    best = solve_chain(problem, time_limit_s=20)
    last = max(best.placement, key=lambda held: held.start)
    assert last.start
    moved = why_not_chain(problem, chain_proposal_from_dict({"nodes": {last.node: [0, last.layers]}}), time_limit_s=20)
    assert moved.verdict == "tie" and moved.foil_tokens_per_s == best.value
    alone = why_not_chain(
        problem, chain_proposal_from_dict({"nodes": {"A1000": [0, 1], "A1001": [1, 1]}}), time_limit_s=20
    )
    assert (alone.verdict, alone.foil_bound_tokens_per_s) == ("not allowed", 0.0)
    assert "that are left" in alone.sentences[0]
