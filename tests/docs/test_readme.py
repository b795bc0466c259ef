"""The README shows what its commands print now, fits a few screens, and names pages that exist."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
_spec = importlib.util.spec_from_file_location("readme_output", ROOT / "scripts" / "readme_output.py")
assert _spec is not None and _spec.loader is not None
readme_output = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(readme_output)


def test_the_outputs_are_those_of_today() -> None:
    text = README.read_text(encoding="utf-8")
    assert readme_output.filled(text) == text, "run python scripts/readme_output.py"


def test_it_is_short_and_its_links_lead_somewhere() -> None:
    text = README.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 150
    for link in re.findall(r"\]\(([^)#]+)\)", text):
        assert (ROOT / link).exists(), link
