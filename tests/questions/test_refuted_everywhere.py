"""An answer of any kind that the verifier does not confirm is never called optimal or infeasible, and says so first."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import optimizer
from optimizer.reading.proposal import chain_proposal_from_dict, proposal_from_dict
from optimizer.results.answer import Mismatch, Verification
from tests.command import run
from tests.questions.problems import chain, hardware, inventory, two_groups

WRONG = Verification(False, 3, "refuted", 0, "", (Mismatch("optimality", "5 ms", "6 ms"),))
SAID = "The independent verification does not confirm this answer (1 of 3 checks): optimality should be 5 ms, not 6 ms."


@pytest.fixture
def refuted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A verifier that confirms nothing."""
    for name in (
        "verify.inventory.verify_inventory",
        "questions.chain.verify_chain",
        "questions.chain_check.verify_chain",
    ):
        monkeypatch.setattr(f"optimizer.{name}", lambda *_, **__: WRONG)


def never_proved(answer: Any, status: str) -> None:
    assert answer.status == status and not answer.verification.passed
    assert answer.explanation[0].startswith(SAID)
    assert not any("proved" in sentence.lower() for sentence in answer.explanation)


@pytest.mark.usefixtures("refuted")
@pytest.mark.parametrize("values", [inventory(), chain()], ids=["cluster", "chain"])
def test_what_was_called_optimal_is_at_most_feasible(values: dict[str, Any]) -> None:
    never_proved(optimizer.solve(optimizer.problem_from_dict(values)), "feasible")


@pytest.mark.usefixtures("refuted")
def test_what_was_called_infeasible_is_not_known() -> None:
    values = inventory()
    values["workload"] = {**values["workload"], "requests_per_s": 100_000}
    never_proved(optimizer.solve(optimizer.problem_from_dict(values)), "unknown")


def test_proposals_are_not_the_best_either(refuted: None) -> None:
    problem = optimizer.problem_from_dict(two_groups())
    best: Any = optimizer.solve(problem)
    held = proposal_from_dict({"instances": [{"group": "h", "tp": 1, "count": 2}]})
    placed: Any = optimizer.check(problem, placement=held)  # type: ignore[call-overload]
    assert best.status == placed.status == "feasible" and placed.explanation[0].startswith(SAID)
    nodes = chain_proposal_from_dict({"nodes": {"n0": [0, 2], "n1": [2, 2]}})
    carried: Any = optimizer.check(optimizer.problem_from_dict(chain()), placement=nodes)  # type: ignore[call-overload]
    assert carried.status == "feasible" and carried.explanation[0].startswith(SAID)


KINDS = {"hardware": hardware(), "cluster": two_groups(), "chain": chain()}
ASKED = [
    *[(kind, ("solve",)) for kind in KINDS],
    *[(kind, ("check", "--tp", "1", "--pp", "1")) for kind in ("hardware", "cluster")],
    *[(kind, ("why-not", "--tp", "1", "--pp", "1")) for kind in ("hardware", "cluster")],
    ("chain", ("why-not", "--node", "n0=0:2")),
    *[(kind, (word,)) for kind in ("hardware", "cluster") for word in ("why-this", "how-sure", "recommend", "pareto")],
    ("hardware", ("sweep", "--gpus", "1,2")),
    ("cluster", ("sweep", "--nodes", "h=1,2")),
]


@pytest.mark.parametrize(("kind", "asked"), ASKED, ids=[f"{kind}-{asked[0]}" for kind, asked in ASKED])
def test_no_command_claims_what_the_verifier_denies(
    kind: str, asked: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit 3, a message, and nothing called proved, verified or best."""

    def denied(*given: Any, **named: Any) -> Verification:
        found = Verification(*given, **named)
        return replace(found, passed=False, mismatches=WRONG.mismatches)

    for room in ("uniform", "inventory", "chain"):
        monkeypatch.setattr(f"optimizer.verify.{room}.check.Verification", denied)
    path = tmp_path / "asked.json"
    path.write_text(json.dumps(KINDS[kind]))
    command, *more = asked
    ran = run(command, str(path), *more, cwd=tmp_path)
    assert ran.returncode == 3 and "verification" in ran.stderr, ran.stdout + ran.stderr
    claims = [line for line in ran.stdout.lower().splitlines() if "proved" in line and "not proved" not in line]
    assert not [line for line in claims if "0 of 2 points proved" not in line], claims


def test_a_verifier_that_agrees_changes_nothing() -> None:
    answer: Any = optimizer.solve(optimizer.problem_from_dict(two_groups()))
    assert (
        answer.status == "optimal"
        and answer == replace(answer)
        and not any(SAID[:40] in one for one in answer.explanation)
    )
