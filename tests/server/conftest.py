"""Tests of the server need its extra."""

from __future__ import annotations

from importlib.util import find_spec

NEEDED = ("fastapi", "httpx", "uvicorn")
collect_ignore = [] if all(map(find_spec, NEEDED)) else ["test_page.py", "test_serve.py"]


def pytest_report_header() -> str | None:
    """Says what is left out, and why."""
    return f"tests/server: {', '.join(collect_ignore)} left out, needs {', '.join(NEEDED)}" if collect_ignore else None
