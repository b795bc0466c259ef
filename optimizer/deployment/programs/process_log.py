"""The log of one process: kept within bounds, shown, and read for the cause of an end. Goes beside ``supervise.py``."""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path

LOG_BYTES, LOGS_KEPT = 50_000_000, 3
_CAUSE = re.compile(
    r"error|exception|not found|no such|refused|in use|denied|killed|fatal|cannot|unable|invalid|out of memory", re.I
)
_ACCESS = re.compile(r'"(GET|POST|HEAD|OPTIONS) \S+ HTTP')


class Log:
    """A file that the process appends to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.echoed = self.size()

    def size(self) -> int:
        """Bytes; 0 where there is none."""
        try:
            return self.path.stat().st_size
        except OSError:
            return 0

    def echo(self) -> None:
        """Show what the process wrote since the last time."""
        with self.path.open("rb") as stream:
            stream.seek(self.echoed if self.echoed <= self.size() else 0)
            sys.stdout.buffer.write(stream.read())
            sys.stdout.flush()
            self.echoed = stream.tell()

    def rotate(self) -> str | None:
        """Keep it within bounds, by copying and emptying it, since the process appends; a sentence where that fails."""
        if self.size() < LOG_BYTES:
            return None
        old = [self.path.with_name(f"{self.path.name}.{age}") for age in range(1, LOGS_KEPT + 1)]
        try:
            for newer, older in [(old[age - 1], old[age]) for age in range(LOGS_KEPT - 1, 0, -1)]:
                if newer.exists():
                    newer.replace(older)
            shutil.copyfile(self.path, old[0])
            os.truncate(self.path, 0)
        except OSError as error:
            return f"{self.path} cannot be rotated ({error})"
        return None

    def cause(self, beginning: int) -> str:
        """The last line since this start that names an error, else the last line."""
        try:
            with self.path.open("rb") as stream:
                size = stream.seek(0, os.SEEK_END)
                stream.seek(max(beginning if beginning <= size else 0, size - 100_000))
                lines = [
                    line.strip()
                    for line in stream.read().decode("utf-8", "replace").splitlines()
                    if line.strip() and not _ACCESS.search(line)
                ]
        except OSError:
            lines = []
        telling = [line for line in lines if _CAUSE.search(line)] or lines
        return telling[-1][-400:] if telling else "it wrote nothing"
