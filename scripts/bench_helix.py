"""``scripts/bench.py helix``: chain instances with value, bound, gap, time and the published value beside them."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
INSTANCES = ROOT.parent / "shared" / "instances"
ONE_SITE = [(1, 24, 3), (2, 24, 4), (3, 36, 5), (4, 48, 7), (5, 48, 7), (6, 48, 7), (7, 42, 7)]
SITES = [(1, 24, 3, 3), (2, 24, 4, 3), (3, 36, 5, 3), (4, 48, 7, 4), (5, 30, 6, 2), (6, 24, 3, 2)]
UNEVEN = [(1, False), (2, False), (3, False), (1, True), (2, True), (3, True)]
"""24 nodes in three sites, each link with a bandwidth of its own; True: normal deviations, the same both ways."""
LIMIT_S = 120


def command(*arguments: str) -> tuple[str, float]:
    """Standard output and wall seconds of the command in a new process."""
    start = time.perf_counter()
    call = [sys.executable, "-c", "from optimizer.cli import main; main()", *arguments]
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1, 3):
        raise SystemExit(done.stderr)
    return done.stdout, time.perf_counter() - start


def show(name: str, problem: str, imported_s: float) -> None:
    """Solve one problem file and print its row."""
    printed, seconds = command("solve", problem, "--json", "--time-limit", str(LIMIT_S))
    answer = json.loads(printed)
    found = answer["objective"]
    gap = "" if found["gap"] is None else f"{found['gap']:.2%}"
    published = f"{answer['published']:,.1f}" if answer["published"] else ""
    word = answer["verification"]["optimality"] if answer["verification"]["passed"] else "NOT VERIFIED"
    print(
        f"{name:28}{answer['status']:12}{found['value']:12,.1f}{found['bound']:12,.1f}{gap:>9}"
        f"{imported_s + seconds:9.1f}{published:>12}  {word}",
        flush=True,
    )


def bench_helix(files: list[str]) -> None:
    """Every shared instance (or the files named), then, when none is named, the generated ones."""
    titles = (
        f"{'instance':28}{'status':12}{'value':>12}{'bound':>12}{'gap':>9}{'seconds':>9}{'published':>12}  optimality"
    )
    print(titles)
    with tempfile.TemporaryDirectory() as folder:
        out = str(Path(folder) / "problem.yaml")
        for file in files or sorted(str(path) for path in INSTANCES.glob("helix_*.json")):
            _, seconds = command("import", "helix", file, "--out", out)
            show(Path(file).stem, out, seconds)
        if files:
            return
        sys.path.insert(0, str(ROOT))
        from tests.chain.cases import generated, uneven

        cases = [generated(*case) for case in [*ONE_SITE, *SITES]]
        for values in [*cases, *(uneven(seed, normal=normal) for seed, normal in UNEVEN)]:
            out = str(Path(folder) / "problem.json")
            Path(out).write_text(json.dumps(values))
            show(str(values["name"]), out, 0.0)
