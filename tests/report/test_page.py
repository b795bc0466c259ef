"""The HTML report in a browser: on a phone and a desktop, light and dark, and on paper; and its text without one."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from optimizer.reporting.written.html import report_html
from tests.report.browser import command, measure
from tests.report.builders import PROPOSED, case, example


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of the strategy the project was created from: four stages, broken rules, all pictures."""
    file = tmp_path_factory.mktemp("report") / "report.html"
    file.write_text(report_html(example(PROPOSED)))
    return file


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_everything_fits_and_can_be_read(page: Path, tmp_path: Path, width: int, scheme: str) -> None:
    seen = measure(page, tmp_path, width, scheme)
    assert seen["width"] == width and seen["dark"] == (scheme == "dark")
    assert seen["console"] == []
    assert seen["scroll"] <= width and seen["overflow"] == []
    assert seen["clipped"] == [] and seen["overlaps"] == [] and seen["small"] == []
    assert seen["texts"] > 500 and seen["contrast"] == [] and seen["graphics"] == []
    assert seen["pictures"] and all(one["role"] == "img" and min(one["words"]) > 10 for one in seen["pictures"])
    assert len(seen["shown"]) == len(set(seen["shown"])) == 7


def test_other_shapes_of_pictures_fit_a_phone(tmp_path: Path) -> None:
    for name in ("PCIe only, uneven stages", "experts over all replicas, two nodes"):
        file = tmp_path / "report.html"
        file.write_text(report_html(case(name)))
        seen = measure(file, tmp_path, 360, "light")
        assert seen["scroll"] <= 360 and seen["overflow"] == []
        assert seen["clipped"] == [] and seen["overlaps"] == [] and seen["contrast"] == []


def test_the_verdict_stands_on_the_first_screen_and_the_appendix_after_six(tmp_path: Path) -> None:
    """At 1280 × 800, everything folded as it is when it is opened."""
    file = tmp_path / "report.html"
    file.write_text(report_html(case("one GPU")))
    text = file.read_text()
    assert text.index("limits-wide") < text.index('id="hardware"') and text.index("<nav") < text.index('id="hardware"')
    for section in ("hardware", "model", "strategy", "launch", "graph"):
        assert f'<section id="{section}" class="folded">' in text
    seen = measure(file, tmp_path, 1280, "light", folded=True)
    assert seen["tops"]["limits"] < 800 and seen["tops"]["derivations"] <= 6 * 800


def test_it_prints(page: Path, tmp_path: Path) -> None:
    paper = tmp_path / "report.pdf"
    run = command(tmp_path / "profile", f"--print-to-pdf={paper}", "--no-pdf-header-footer", page.as_uri())
    subprocess.run(run, capture_output=True, timeout=120, check=True)
    content = paper.read_bytes()
    assert content.startswith(b"%PDF") and len(re.findall(rb"/Type\s*/Page\b", content)) > 3


def test_it_stands_alone(page: Path) -> None:
    text = page.read_text()
    assert "<script" not in text and "@import" not in text
    assert not re.search(r'(?:src|href)="(?!#|data:,)', text)
    assert not re.search(r"url\((?!#)", text)


def test_ids_are_unique_and_every_link_leads_somewhere(page: Path) -> None:
    text = page.read_text()
    ids = re.findall(r'\bid="([^"]+)"', text)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r"href=\"#([^\"]+)\"", text)) <= set(ids)
    assert set(re.findall(r"url\(#([^)]+)\)", text)) <= set(ids)


def test_the_same_answer_gives_the_same_page(monkeypatch: pytest.MonkeyPatch) -> None:
    assert report_html(case("one GPU")) == report_html(case("one GPU"))
