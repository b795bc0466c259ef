"""Reports in which every line is labelled true or wrong: how much of each kind the audit sees, and that it accuses nothing true.

The README of each folder says which were written before the audit that they judge; ``sealed/`` and ``kept/`` hold
those of which only totals are read.
"""

from __future__ import annotations

import pytest

from tests.audit.counting import Counted, counted, names

LEAST_FOUND, LEAST_CONFIRMED = 0.8, 0.6
NOT_YET = {
    "gptoss_2xrtxpro_mail": 0.61,
    "llama8b_2xa30_de": 0.73,
    "qwen32b_4xa6000_mail": 0.72,
    "deepseekv3_2x8h200_spec": 0.78,
    "qwen32b_3x4l40s_etude": 0.79,
    "llama2_70b_8xa100_40_blog": 0.72,
    "qwen14b_2x4_3090_runbook": 0.75,
    "mistral24b_h100_a100_l4_proposition": 0.77,
}
"""Letters and running prose in which the audit finds less than it should; these shares may rise and not fall."""


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        (folder, name)
        for folder in ("labelled", "fresh", "second", "third", "unseen", "inventories")
        for name in names(folder)
    ],
)
def test_errors_are_found_and_no_true_line_is_accused(folder: str, name: str) -> None:
    found = counted(folder, name)
    assert not found.wronged, sorted(found.wronged)
    assert len(found.found) >= NOT_YET.get(name, LEAST_FOUND) * len(found.wrong), sorted(found.wrong - found.accused)
    assert len(found.confirmed & found.true) >= LEAST_CONFIRMED * len(found.true), sorted(found.true - found.confirmed)


@pytest.fixture(scope="module")
def sealed() -> list[Counted]:
    return [counted("sealed", name) for name in names("sealed")]


def test_sealed_reports_in_total(sealed: list[Counted]) -> None:
    """Written before the audit that judges them and not read with it; these totals may rise and not fall."""
    assert not any(one.wronged for one in sealed)
    assert sum(len(one.found) for one in sealed) >= 0.8 * sum(len(one.wrong) for one in sealed)
    assert sum(len(one.confirmed & one.true) for one in sealed) >= 0.85 * sum(len(one.true) for one in sealed)
