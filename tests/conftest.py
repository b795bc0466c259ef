"""Shared fixtures: the example of the README as plain data, a small problem, and the folder of shared inputs where it is present."""

from __future__ import annotations

import copy
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"


GENERATED = ("seed", "block")
"""Parameters that number generated cases."""
FEWEST = {"seed": 12, "block": 3}
CASE = "cases"
"""What a generated test met where it says nothing of its own."""
EVERY = {"seed": 4, "block": 6}
"""Of so many cases or more, one in so many is in the ordinary run."""
LONG_CASES = Path(__file__).with_name("long_cases.txt")
"""Cases of parametrised tests that take seconds each and have cheaper ones beside them: only the long run has them."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Of tests with many generated cases the ordinary run takes a part; ``-m long`` takes the others, and what is ``heavy``."""
    cases: dict[tuple[str, str], list[pytest.Item]] = defaultdict(list)
    for item in items:
        spec = getattr(item, "callspec", None)
        for name in GENERATED:
            if spec is None or name not in spec.params:
                continue
            item.user_properties.append(("met", CASE))
            heavy = item.get_closest_marker("heavy")
            if heavy and spec.params[name] in heavy.args:
                item.add_marker(pytest.mark.long)
            else:
                cases[item.nodeid.split("[")[0], name].append(item)
    listed = set(LONG_CASES.read_text(encoding="utf-8").splitlines())
    for item in items:
        if item.nodeid in listed:
            item.add_marker(pytest.mark.long)
    for (_, name), found in cases.items():
        if len(found) >= FEWEST[name]:
            for position, item in enumerate(found):
                if position % EVERY[name] != 1:
                    item.add_marker(pytest.mark.long)


@pytest.fixture
def example() -> dict[str, Any]:
    """The case the product was created from, as the contents of its problem file."""
    with (ROOT / "problems" / "llama3-70b-8xh100.yaml").open() as stream:
        return yaml.safe_load(stream)


@pytest.fixture(autouse=True)
def nothing_known() -> None:
    """No test answers with an optimum that another one proved."""
    from optimizer.questions.known_optima import forget

    forget()


@pytest.fixture
def met(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Counts what a generated case turned out to be; the summary of the run says how many of each a test met."""
    return lambda what: request.node.user_properties.append(("met", what))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """How many real cases each generated test met."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for outcome in ("passed", "failed"):
        for report in terminalreporter.stats.get(outcome, ()):
            test = report.nodeid.split("[")[0]
            found[test].update(what for name, what in getattr(report, "user_properties", ()) if name == "met")
    said = [
        f"{test}: {', '.join(f'{n} {what}' for what, n in sorted(_own(cases).items()))}"
        for test, cases in sorted(found.items())
        if cases
    ]
    if said:
        terminalreporter.section("generated cases")
        for line in said:
            terminalreporter.line(line)


def _own(cases: Counter[str]) -> Counter[str]:
    """What a test says of its cases, else how many there were."""
    return Counter({what: n for what, n in cases.items() if what != CASE}) or cases


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
