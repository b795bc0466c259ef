"""Every field of the problem file says what it means, and the page of them is what the schemas say."""

from __future__ import annotations

import importlib.util
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_spec = importlib.util.spec_from_file_location("problem_file_doc", ROOT / "scripts" / "problem_file_doc.py")
assert _spec is not None and _spec.loader is not None
doc = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(doc)


def test_every_field_says_what_it_means() -> None:
    assert doc.undescribed() == []


def test_the_page_is_what_the_schemas_say() -> None:
    assert doc.PAGE.read_text(encoding="utf-8") == doc.page(), "run python scripts/problem_file_doc.py"
