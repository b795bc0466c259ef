"""What questions about an inventory say where no kind alone keeps every rule, and that terms add up to the difference that they are of."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from optimizer.questions import cluster_mix_beside
from optimizer.questions.cluster_mix_beside import NO_MIX
from optimizer.questions.pools_how_sure import pools_how_sure
from optimizer.questions.pools_why_not import pools_why_not
from optimizer.questions.pools_why_this import pools_why_this
from optimizer.questions.solve import solve
from optimizer.reading.stated import Stated
from optimizer.reporting.pools import pools_verdict
from optimizer.results.answer import Fixed
from optimizer.search.common.clock import Clock
from tests.pools.clusters import cluster_values, cluster_with
from tests.pools.test_cluster_side_by_side import JOINT_BEST, SMALL

NARROW: dict[str, Any] = {"search": {"tensor_parallel": [1]}}
NOTHING: dict[str, Any] = SMALL | NARROW | {"requirements": {"ttft_p99_ms": 4000, "tpot_p99_ms": 1}}
"""No token in a millisecond."""


def test_where_no_kind_keeps_every_rule_mixes_are_not_called_unsettled() -> None:
    problem, stated = cluster_with(**NOTHING), Stated(cluster_values(**NOTHING))
    why, sure = pools_why_this(problem, stated), pools_how_sure(problem, stated)
    assert why.sentences == ("Nothing keeps every rule; optimizer solve names the conflict and the repairs.", NO_MIX)
    assert sure.sentences[:2] == ("Nothing keeps every rule now.", NO_MIX)
    answer: Any = solve(problem, repairs=False)
    verdict, headline = pools_verdict(answer, problem.serving)
    assert (verdict, headline) == ("fail", "Neither joint instances nor pools are feasible, nor are both side by side")
    assert pools_verdict(answer, "disaggregated")[1] == "No pair of pools keeps every rule"


@pytest.mark.parametrize(
    ("status", "words"), [("optimal", "of which both is best"), ("feasible", "of which both does")]
)
def test_mixes_that_keep_every_rule_where_neither_kind_alone_does_are_named(
    status: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = SimpleNamespace(status=status, label="both", objective=SimpleNamespace(value=1365.53))
    monkeypatch.setattr(cluster_mix_beside, "mix_on", lambda *_: (answer, ["what is compared"]))
    found = cluster_mix_beside.nothing_on(cluster_with(**SMALL), Clock(), settled=False)
    sentence = f"Joint instances beside pools keep every rule, {words}: 1,366 ms a request (optimizer solve)."
    assert found == (False, [sentence])


@pytest.mark.parametrize(
    ("said", "settled", "none"), [([NO_MIX], False, True), (["not settled"], False, False), ([], True, True)]
)
def test_nothing_is_known_where_every_split_is_settled(
    said: list[str], settled: bool, none: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_mix_beside, "mix_on", lambda *_: (None, said))
    assert cluster_mix_beside.nothing_on(cluster_with(**SMALL), Clock(), settled) == (none, said)


def test_terms_add_up_to_the_difference() -> None:
    """Joint instances are counted in whole milliseconds, which no other term holds."""
    changes = JOINT_BEST | {"cluster": JOINT_BEST["cluster"][:1], "search": {"tensor_parallel": [1, 2]}}
    stated = Stated(cluster_values(**changes))
    found = pools_why_not(cluster_with(**changes), Fixed(), None, serving="disaggregated", stated=stated)
    assert found.verdict == "worse" and found.difference_ms is not None
    assert 0.005 <= abs(found.difference_terms["rounding"]) < 1
    assert sum(found.difference_terms.values()) == pytest.approx(found.difference_ms, abs=1e-6)
    assert any("rounding up to whole milliseconds" in one for one in found.sentences)
