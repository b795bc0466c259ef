"""Writes fitted constants, their intervals and their history into ``constants.yaml``; all other lines stay as they are."""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from optimizer.catalog.constants import CONSTANTS_FILE


def digest(path: Path) -> str:
    """What tells one measurement file from another in ``fitted.data``."""
    return f"sha256 {hashlib.sha256(path.read_bytes()).hexdigest()[:16]}"


def fitted_to(path: Path) -> bool:
    """The shipped constants were fitted to this very file."""
    return digest(path) in CONSTANTS_FILE.read_text(encoding="utf-8")


def rounded(value: float) -> float:
    """Four significant digits: more than the data can tell apart."""
    return float(f"{value:.4g}")


def with_values(text: str, values: Mapping[str, float]) -> str:
    """The file with some of the entries under ``values`` replaced.

    Raises:
        KeyError: the file has no such entry.
    """
    head, section, rest = _split(text, "values")
    for name, value in values.items():
        section, replaced = re.subn(rf"(?m)^  {name}: \S+", f"  {name}: {rounded(value)!r}", section)
        if replaced != 1:
            raise KeyError(name)
    return head + section + rest


def with_section(text: str, name: str, content: Mapping[str, Any]) -> str:
    """The file with one top-level section replaced, or added at the end."""
    head, _, rest = _split(text, name) if re.search(rf"(?m)^{name}:", text) else (text, "", "")
    body = yaml.safe_dump({name: content}, sort_keys=False, width=118, default_flow_style=None, allow_unicode=True)
    return head + body + rest


def write(path: Path, text: str) -> None:
    """Replace the file in one step, so that no reader ever sees half of it.

    Raises:
        YAMLError: a file of YAML would no longer be one.
    """
    if path.suffix == ".yaml":
        yaml.safe_load(text)
    mode = path.stat().st_mode & 0o777
    with tempfile.NamedTemporaryFile("w", dir=path.parent, suffix=".tmp", delete=False, encoding="utf-8") as stream:
        stream.write(text)
    Path(stream.name).chmod(mode)
    Path(stream.name).replace(path)


def _split(text: str, name: str) -> tuple[str, str, str]:
    """(before, the top-level section, after)."""
    found = re.search(rf"(?ms)^{name}:.*?(?=^\S|\Z)", text)
    if not found:
        raise KeyError(name)
    return text[: found.start()], found.group(), text[found.end() :]
