"""Links that are few, missing, of nothing, or unlike both ways: the right value, or the right reason."""

from __future__ import annotations

from typing import Any

import pytest

from optimizer.questions.chain import solve_chain
from optimizer.reading.chain import chain_from_dict
from optimizer.results.chain import ChainAnswer
from optimizer.search.chain.columns import Columns
from optimizer.search.chain.greedy import lines_along_links
from optimizer.search.chain.groups import grouped
from optimizer.search.chain.instance import scaled
from optimizer.search.chain.lanes import find_lane

TABLE = {1: 100, 2: 50, 3: 30, 4: 20}


def odd(nodes: int, layers: int, links: list[tuple[str, str, float]], **cluster: Any) -> dict[str, Any]:
    """Equal nodes n0, n1, … with links one way each."""
    return {
        "kind": "chain",
        "model": {"layers": layers},
        "cluster": {
            "types": {"A": {"throughput_tokens_per_s_by_layers": TABLE}},
            "nodes": [{"name": f"n{n}", "type": "A"} for n in range(nodes)],
            "links": [{"src": a, "dst": b, "tokens_per_s": rate, "bidirectional": False} for a, b, rate in links],
            **cluster,
        },
    }


def asked(values: dict[str, Any]) -> ChainAnswer:
    answer = solve_chain(chain_from_dict(values), time_limit_s=20)
    assert answer.verification.passed, answer.verification.mismatches
    return answer


@pytest.mark.parametrize(
    ("nodes", "layers", "links", "value"),
    [
        # Links of nothing: each node by itself.
        (3, 4, [("n0", "n1", 0), ("n1", "n2", 0)], 60),
        # The better way round, and the node that no link joins by itself.
        (3, 4, [("n0", "n1", 10), ("n1", "n0", 99)], 70),
        # Two pairs that nothing joins.
        (4, 8, [("n0", "n1", 50), ("n2", "n3", 50)], 40),
        (1, 4, [("source", "n0", 7), ("n0", "sink", 3)], 3),
    ],
)
def test_the_value_by_hand(nodes: int, layers: int, links: list[tuple[str, str, float]], value: float) -> None:
    answer = asked(odd(nodes, layers, links))
    assert (answer.status, answer.value) == ("optimal", value)


@pytest.mark.parametrize(
    ("values", "why"),
    [
        (odd(4, 9, [("n0", "n1", 50), ("n2", "n3", 50)]), "was searched through"),
        (odd(2, 4, [("n0", "n1", 5), ("source", "n0", 0), ("source", "n1", 0)]), "the coordinator's links"),
        (odd(1, 5, [("source", "n0", 5)]), "all nodes together hold 4 layers and the model has 5"),
    ],
)
def test_what_nothing_passes_says_why(values: dict[str, Any], why: str) -> None:
    answer = asked(values)
    assert answer.status == "infeasible"
    assert why in answer.explanation[0]


def test_a_ring_is_gone_round_along_its_better_links() -> None:
    """60 nodes, each joined to the next, at 40 to 99 tokens/s: 40 nodes with 2 layers from n10 on, and 20 with 4."""
    ring = [(f"n{n}", f"n{(n + 1) % 60}", 40.0 + n) for n in range(60)]
    values = odd(60, 80, ring)
    answer = asked(values)
    assert (answer.status, answer.value) == ("optimal", 70)
    placed = lines_along_links(scaled(chain_from_dict(values)), lambda: False)
    assert sorted(held for _, held in placed.values()) == [2] * 40 + [4] * 20


def test_of_a_total_of_a_thousandth_nothing_is_shared() -> None:
    instance = scaled(chain_from_dict(odd(2, 4, [("n0", "n1", 0.001)])))
    groups = grouped(instance, 1_000)
    assert len(groups.members) == 2
    assert find_lane(Columns(instance), groups, 1, 0.5) is not None
