"""How names are compared, since people write them as they please."""

from __future__ import annotations

import re


def spelling(name: str) -> str:
    """A name without case, spaces, dashes, dots and underscores, which people write as they please."""
    return re.sub(r"[\s._/-]+", "", name.lower())
