"""The report the product was created from, line by line: what is wrong, what may not be accused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from optimizer.auditing import AuditResult, audit
from optimizer.reading.load import problem_from_dict

WRONG = {
    19: ("contradicted", "NVLink"),
    55: ("refuted", "17.6 GB"),
    56: ("refuted", "line 55"),
    79: ("refuted", "43.75%"),
    83: ("contradicted", "190.5"),
    84: ("contradicted", "1,524"),
    92: ("refuted", "16 KiB"),
    93: ("refuted", "16 KiB"),
    108: ("refuted", "embedding"),
    133: ("contradicted", "second node"),
    141: ("contradicted", "batch of 64"),
    144: ("refuted", "NCCL"),
    145: ("refuted", "CUDA graphs"),
    158: ("refuted", "line 56"),
    160: ("refuted", "embedding"),
    162: ("refuted", "6 %"),
    165: ("refuted", "16 GPUs"),
    182: ("contradicted", "55, 56"),
}
UNSUPPORTED = [85, 90, 98, 118, 124, 125, 161, 166, 167, 179]
RIGHT = [
    7, 12, 13, 14, 15, 16, 20, 47, 25, 26, 27, 28, 29, 30, 31, 32, 36, 37, 38, 39, 40, 46, 48, 53, 54, 61, 62, 63, 72, 73,
    74, 75, 76, 77, 78, 80, 91, 97, 99, 120, 123, 137, 138, 139, 140, 142, 143, 150, 157,
]  # fmt: skip


@pytest.fixture(scope="module")
def report() -> str:
    path = Path(__file__).resolve().parents[3] / "shared" / "inputs" / "verification_report_llama3_70b_8xh100.md"
    if not path.is_file():
        pytest.skip("needs ../shared, which exists in development and CI only")
    return path.read_text()


@pytest.fixture
def result(report: str, example: dict[str, Any]) -> AuditResult:
    return audit(report, problem_from_dict(example))


def test_every_error_is_found_with_the_right_figure(result: AuditResult) -> None:
    for line, (verdict, words) in WRONG.items():
        claims = [claim for claim in result.claims if claim.line == line]
        assert any(c.verdict == verdict and words in c.reason for c in claims), (line, claims)


def test_nothing_else_is_accused(result: AuditResult) -> None:
    accused = {claim.line for claim in result.claims if claim.verdict in ("refuted", "contradicted")}
    # 190: "an optimal configuration" is judged by the proven optimum, when it is reached within the time limit.
    assert accused - {190} == set(WRONG)


def test_what_is_right_is_confirmed(result: AuditResult) -> None:
    confirmed = {claim.line for claim in result.claims if claim.verdict == "confirmed"}
    assert set(RIGHT) <= confirmed


def test_what_cannot_follow_is_unsupported(result: AuditResult) -> None:
    unsupported = {claim.line for claim in result.claims if claim.verdict == "unsupported"}
    assert set(UNSUPPORTED) <= unsupported


def test_the_same_audit_twice(report: str, result: AuditResult, example: dict[str, Any]) -> None:
    assert audit(report, problem_from_dict(example)) == result
