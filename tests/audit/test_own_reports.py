"""Our own reports, with every derivation written out, are right: nothing in them is refuted or contradicted."""

from __future__ import annotations

from pathlib import Path

import pytest

from optimizer.auditing.ask import audit
from optimizer.cli.program import main
from optimizer.reading.question import load_problem
from tests.conftest import ROOT

CASES = {
    "best": ("llama3-70b-8xh100", ()),
    "proposed": ("llama3-70b-8xh100", ("--tp", "2", "--pp", "4", "--dp", "1")),
    "over PCIe": ("l40s-pcie", ()),
}

INVENTORIES = ("four-plain-groups", "gb200-nvl72", "h100-and-a100", "llama3-405b-h100-and-a100", "two-racks")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name == "over PCIe" else pytest.mark.long) for name in CASES]
)
def test_nothing_in_our_own_report_is_accused(name: str, tmp_path: Path) -> None:
    problem, fixed = CASES[name]
    path = str(ROOT / "problems" / f"{problem}.yaml")
    with pytest.raises(SystemExit):
        main(["report", path, *fixed, "--no-html", "--out", str(tmp_path)])
    found = audit((tmp_path / "report.md").read_text(encoding="utf-8"), load_problem(path))
    accused = [(c.line, c.text, c.reason) for c in found.claims if c.verdict in ("refuted", "contradicted")]
    assert not accused
    assert sum(claim.verdict == "confirmed" for claim in found.claims) > 50


@pytest.mark.long
@pytest.mark.parametrize("name", INVENTORIES)
def test_nothing_in_our_own_report_about_an_inventory_is_accused(name: str, tmp_path: Path) -> None:
    path = str(ROOT / "problems" / f"{name}.yaml")
    with pytest.raises(SystemExit):
        main(["report", path, "--no-html", "--out", str(tmp_path)])
    found = audit((tmp_path / "report.md").read_text(encoding="utf-8"), load_problem(path))
    accused = [(c.line, c.text, c.reason) for c in found.claims if c.verdict in ("refuted", "contradicted")]
    assert not accused
    assert sum(claim.verdict == "confirmed" for claim in found.claims) > 30
