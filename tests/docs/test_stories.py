"""The stories of ``docs/stories.md``, command by command as they are written there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.command import Ran, run

ROOT = Path(__file__).resolve().parents[2]
STORIES = re.findall(
    r"^## (.*?)\n.*?```sh\n(.*?)```", (ROOT / "docs" / "stories.md").read_text(encoding="utf-8"), re.M | re.S
)
MOST = 5


def played(commands: str, folder: Path) -> list[Ran]:
    """Each command in a folder that has the project's problems."""
    (folder / "problems").symlink_to(ROOT / "problems")
    return [run(*shlex.split(line)[1:], cwd=folder) for line in commands.splitlines()]


def judged(commands: str, folder: Path) -> None:
    """Every command answers, and what is written is there."""
    for line, ran in zip(commands.splitlines(), played(commands, folder), strict=True):
        assert ran.returncode == 0, (line, ran.stdout, ran.stderr)
        assert ran.stdout + ran.stderr and "Traceback" not in ran.stderr
        for name in re.findall(r"--out (\S+)", line):
            assert (folder / name).exists(), line


def test_there_are_three_and_none_takes_more_than_five_commands() -> None:
    assert len(STORIES) == 3
    for title, commands in STORIES:
        lines = commands.splitlines()
        assert 0 < len(lines) <= MOST and all(line.startswith("optimizer ") for line in lines), title


def test_the_researcher_at_home(tmp_path: Path) -> None:
    judged(next(commands for title, commands in STORIES if "researcher" in title), tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("word", ["platform", "planner"])
def test_the_others(word: str, tmp_path: Path) -> None:
    judged(next(commands for title, commands in STORIES if word in title), tmp_path)
