"""Why a mix of joint instances and pools, why not one, and how sure it is: each verdict against what solving says."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from optimizer.facts.errors import ProblemError
from optimizer.facts.side_by_side import splits_of
from optimizer.questions import pools_why_not, side_by_side_chosen
from optimizer.questions.how_sure import how_sure
from optimizer.questions.pools_chosen import chosen_alone
from optimizer.questions.side_by_side_chosen import chosen, chosen_both, verified
from optimizer.questions.solve import solve
from optimizer.questions.why_not import why_not
from optimizer.questions.why_this import why_this
from optimizer.reading.pools import pools_of
from optimizer.render.schemas import command_schema
from optimizer.render.why import how_sure_data, why_not_data, why_this_data
from optimizer.results.answer import Fixed
from optimizer.results.pools_why import PoolsHowSure, PoolsWhyNot, PoolsWhyThis
from optimizer.results.side_by_side import SideBySideAnswer
from tests.command import run
from tests.pools.clusters import cluster_with
from tests.pools.mixes import NEAR_SATURATION, ONLY_TOGETHER, POOLS_BEST
from tests.pools.problems import problem_with, values_with
from tests.pools.test_side_by_side import value_of

BEST = "20% to TP1·PP1·DP1, 80% to prefill 2 × TP1 + decode 1 × TP2"
ONE = Fixed(tensor_parallel=1, data_parallel=1)


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(command_schema())


@pytest.fixture(autouse=True)
def fewer_rates(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rates at which a foil may win are asked for in ``tests/pools/test_why.py``."""
    monkeypatch.setattr(pools_why_not, "RATES", (0.9, 1.1))


def asked(changes: dict[str, Any], prefill: str | None = None, decode: str | None = None, **more: Any) -> PoolsWhyNot:
    found = why_not(problem_with(**changes), more.pop("fixed", Fixed()), pools=pools_of(prefill, decode), **more)
    assert isinstance(found, PoolsWhyNot)
    return found


@pytest.mark.parametrize("changes", [NEAR_SATURATION, POOLS_BEST, ONLY_TOGETHER])
def test_the_best_mix_is_that_of_every_split_solved(changes: dict[str, Any]) -> None:
    problem = problem_with(**changes)
    values = {split: value_of(problem, split) for split in splits_of(problem)}
    found, one = chosen_both(problem), chosen(problem)
    assert found.best is not None and found.settled and one is not None and one.settled
    assert found.best.value_ms == pytest.approx(min(values.values()), abs=2e-5)
    assert values[found.best.answer.split] == min(values.values())
    alone = chosen_alone(problem)
    least = math.inf if alone is None else alone.value_ms
    assert one.value_ms == pytest.approx(min(least, found.best.value_ms), abs=2e-5)
    assert verified(problem, found.best).passed
    assert sum(found.best.terms.values()) == pytest.approx(found.best.value_ms, abs=1e-5)
    assert sum(found.best.folded.values()) == pytest.approx(found.best.value_ms, abs=1e-5)
    answer: Any = solve(problem, repairs=False)
    assert answer.objective.value == pytest.approx(one.value_ms, abs=2e-5)
    if isinstance(answer, SideBySideAnswer):
        assert answer.label == one.label and answer.metrics.max_request_rate == pytest.approx(one.max_request_rate)


def test_why_this_says_who_gains_against_each_kind_alone(validator: jsonschema.Draft202012Validator) -> None:
    """Pools alone 2,422.96 ms: 0.2 · (3,604.50 − 2,422.96) = +236 ms, 0.8 · (2,082.19 − 2,422.96) = −273 ms, −36.30 ms in all."""
    found = why_this(problem_with(**NEAR_SATURATION))
    assert isinstance(found, PoolsWhyThis) and found.label == BEST
    assert found.objective_ms == pytest.approx(2386.65, abs=0.01)
    assert found.verification is not None and found.verification.passed
    told = " ".join(found.sentences)
    assert "0.2 · 3,604 ms + 0.8 · 2,082 ms = 2,387 ms a request" in told
    assert "Against prefill 3 × TP1 + decode 1 × TP2 alone: 36.30 ms less a request." in told
    assert "20% take 3,604 ms at joint instances in place of 2,423 ms (+236 ms a request of all)" in told
    assert "80% take 2,082 ms at pools in place of 2,423 ms (−273 ms a request of all)" in told
    assert "Against joint TP1·PP1·DP5 alone: 1,218 ms less a request." in told
    assert "28.32 requests/s within every limit (joint instances 5.93 / 0.2, pools 22.66 / 0.8)" in told
    assert "prefill 80% and decode 52% in the mix, prefill 67% and decode 64% alone" in told
    validator.validate(json.loads(json.dumps(why_this_data(found))))
    by_field = {next(iter(one.changes)): one for one in found.worths}
    two: Any = solve(problem_with(**NEAR_SATURATION | {"hardware": {"gpus_per_node": 5, "nodes": 2}}))
    assert by_field["hardware.nodes"].objective_ms == pytest.approx(two.objective.value, abs=2e-5)


def test_why_this_names_what_each_kind_alone_breaks() -> None:
    found = why_this(problem_with(**ONLY_TOGETHER))
    told = " ".join(found.sentences)
    assert "No joint instances alone keep every rule. Because the GPU count is fixed at 3" in told
    assert "No pools alone keep every rule. No pair of pools on 3 GPUs keeps these together" in told


def test_why_this_of_one_kind_says_what_the_best_mix_would_take() -> None:
    """The best of 27 splits solved one by one: 1,688.5 ms against 1,516.1 of the pools."""
    problem = problem_with(**POOLS_BEST)
    found = why_this(problem)
    least = min(value_of(problem, split) for split in splits_of(problem))
    assert isinstance(found, PoolsWhyThis) and found.objective_ms is not None
    told = next(one for one in found.sentences if one.startswith("The best of both side by side"))
    assert f"{least:,.0f} ms a request, {least - found.objective_ms:,.0f} ms more" in told
    assert any(one.startswith("Of pools alone: ") for one in found.sentences)
    none = problem_with(**POOLS_BEST | {"objective": "throughput"})
    assert any("not tried with objective throughput" in one for one in why_this(none).sentences)


def test_one_kind_alone_is_compared_with_the_mix(validator: jsonschema.Draft202012Validator) -> None:
    for kind, alone in (("joint", 3604.50), ("disaggregated", 2422.96)):
        found = asked(NEAR_SATURATION, serving=kind)
        assert found.verdict == "worse" and found.optimum == BEST
        assert found.difference_ms == pytest.approx(alone - 2386.65, abs=0.02)
        assert set(found.difference_terms) == {"served", "unserved", "gpus"}
        assert sum(found.difference_terms.values()) == pytest.approx(found.difference_ms, abs=1e-5)
        assert found.verification is not None and found.verification.passed
        assert any(one.startswith("Of the requests of the mix 20% take ") for one in found.sentences)
        validator.validate(json.loads(json.dumps(why_not_data(found))))
    broken = asked(ONLY_TOGETHER, serving="joint")
    assert broken.verdict == "not allowed" and broken.optimum is not None and "20% to TP1" in broken.optimum


def test_a_mix_may_be_asked_about() -> None:
    assert asked(NEAR_SATURATION, serving="side-by-side").verdict == "best"
    assert asked(NEAR_SATURATION, "tp=1", "tp=2", fixed=ONE).verdict == "best"
    worse = asked(NEAR_SATURATION, "tp=1", "tp=1", fixed=ONE)
    assert worse.verdict == "worse" and worse.difference_ms is not None and worse.difference_ms > 0
    assert sum(worse.difference_terms.values()) == pytest.approx(worse.difference_ms, abs=1e-5)
    assert "pools decode" in worse.difference_terms


def test_a_mix_where_pools_alone_are_best() -> None:
    second = asked(POOLS_BEST, serving="side-by-side")
    assert second.verdict == "worse" and second.foil is not None and second.foil.startswith("20% to TP1")


def test_a_mix_where_serving_leaves_it_out() -> None:
    left_out = asked(NEAR_SATURATION | {"serving": "disaggregated"}, serving="side-by-side")
    assert left_out.verdict == "not allowed" and "leaves out joint instances beside pools" in left_out.sentences[0]
    assert left_out.repairs[0].changes[0].new == "any"


def test_a_mix_that_breaks_a_rule_names_it_and_its_part() -> None:
    found = asked(ONLY_TOGETHER, "tp=1,count=1", "tp=1,count=1", fixed=ONE, share=0.5)
    assert found.verdict == "not allowed" and found.foil is None and not found.repairs
    assert [one.rules for one in found.conflicts] == [("kv_cache", "tpot_p99", "tpot_full_batch")]
    assert found.conflicts[0].sentence.startswith("Joint instances: ")
    impossible = ONLY_TOGETHER | {"requirements": {"tpot_p99_ms": 1}}
    none = asked(impossible, serving="side-by-side")
    assert none.verdict == "not allowed" and none.sentences[0].startswith("No split of requests and GPUs")


def test_splits_that_were_not_settled_are_not_called_impossible(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(side_by_side_chosen, "most_solved", lambda problem, left, known: 0)
    assert asked(ONLY_TOGETHER, serving="side-by-side").verdict == "undecided"
    told = why_this(problem_with(**ONLY_TOGETHER)).sentences
    assert told == (
        "Nothing was found that keeps every rule; not every split of joint instances and pools was settled.",
    )
    sure = how_sure(problem_with(**ONLY_TOGETHER))
    assert isinstance(sure, PoolsHowSure) and sure.sentences[0] == "Nothing was found that keeps every rule now."


@pytest.mark.long
def test_how_sure_moves_each_fact_until_another_of_the_three_is_best(
    validator: jsonschema.Draft202012Validator,
) -> None:
    found = how_sure(problem_with(**NEAR_SATURATION))
    assert isinstance(found, PoolsHowSure) and found.label == BEST
    assert found.verification is not None and found.verification.passed
    validator.validate(json.loads(json.dumps(how_sure_data(found))))
    rate = next(one for one in found.ranges if one.field == "workload.requests_per_s")
    assert rate.low <= 24 < rate.high and rate.above is not None
    for value, label in ((rate.high, BEST), (float(rate.above.split(" at ")[1]), rate.above.split(" at ")[0])):
        workload = NEAR_SATURATION["workload"] | {"requests_per_s": value}
        there: Any = solve(problem_with(**NEAR_SATURATION | {"workload": workload}))
        assert there.label == label


def test_what_has_no_meaning_is_refused() -> None:
    with pytest.raises(ProblemError, match="beside pools: state --tp and --prefill"):
        asked(NEAR_SATURATION, "tp=1", share=0.3)
    with pytest.raises(ProblemError, match="whole tenth"):
        asked(NEAR_SATURATION, serving="side-by-side", share=0.25)
    with pytest.raises(ProblemError, match="one thing"):
        asked(NEAR_SATURATION, serving="side-by-side", fixed=ONE)
    with pytest.raises(ProblemError, match="with objective capacity"):
        asked(NEAR_SATURATION | {"objective": "capacity"}, serving="side-by-side")
    with pytest.raises(ProblemError, match="hardware: alone"):
        why_not(cluster_with(), serving="side-by-side")


def test_the_commands_ask_about_mixes(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    path.write_text(json.dumps(values_with(**ONLY_TOGETHER)))
    own = ("--tp", "1", "--dp", "1", "--prefill", "tp=1,count=1", "--decode", "tp=1,count=1", "--share", "0.5")
    told = run("why-not", str(path), *own)
    assert told.returncode == 1 and "Joint instances: It breaks kv_cache" in told.stdout
    told = run("why-not", str(path), "--serving", "side-by-side")
    assert told.returncode == 0 and "is the best itself" in told.stdout
