"""Shared fixtures: the born case as plain data, a small problem, and the folder of shared inputs where it is present."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"


@pytest.fixture
def example() -> dict[str, Any]:
    """The case the product was created from, as the contents of its problem file."""
    with (ROOT / "problems" / "llama3-70b-8xh100.yaml").open() as stream:
        return yaml.safe_load(stream)


@pytest.fixture
def shared() -> Path:
    """The shared folder of the development environment; tests that need it are skipped elsewhere."""
    if not SHARED.is_dir():
        pytest.skip("needs ../shared, which exists in development and CI only")
    return SHARED


def changed(values: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A deep copy with dotted fields replaced (``__`` stands for a dot); a value of None removes the field."""
    result = copy.deepcopy(values)
    for path, value in changes.items():
        *parents, last = path.split("__")
        inner = result
        for parent in parents:
            inner = inner.setdefault(parent, {})
        if value is None:
            inner.pop(last, None)
        else:
            inner[last] = value
    return result
