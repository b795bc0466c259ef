"""Names of a service where only few characters may stand."""

from __future__ import annotations

import re


def service_name(text: str) -> str:
    """Small letters, digits and dashes, as Kubernetes, systemd and Slurm all take it; short, because others append to it."""
    plain = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:30].strip("-")
    return plain if plain and plain[0].isalpha() else f"service-{plain}".strip("-")
