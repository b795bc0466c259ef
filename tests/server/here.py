"""A server for tests: it answers in the test's own process, as a worker would, without the time that a process takes to start."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from optimizer.reading import local_files
from optimizer.server.answering import Reply, answer

LIMIT_S = 30.0
SMALL = {
    "hardware": {"gpu": "h100-sxm-80gb", "nodes": 1, "gpus_per_node": 2},
    "model": "llama3-8b",
    "workload": {"prompt_tokens": 512, "output_tokens": 128, "requests_per_s": 2},
}


@contextmanager
def refused_here() -> Iterator[None]:
    """Problems may name no file while a block runs, as in a worker's process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(local_files._Files, "refused", True)
        yield


class Here:
    """A worker in this process."""

    def ask(self, name: str, body: bytes) -> Reply:
        with refused_here():
            return answer(name, body, LIMIT_S)

    def end(self) -> None:
        pass
