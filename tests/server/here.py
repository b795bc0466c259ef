"""A server for tests: it answers in the test's own process, as a worker would, without the time that a process takes to start."""

from __future__ import annotations

from optimizer.reading.local_files import refused_here
from optimizer.server.answering import Reply, answer

LIMIT_S = 30.0
SMALL = {
    "hardware": {"gpu": "h100-sxm-80gb", "nodes": 1, "gpus_per_node": 2},
    "model": "llama3-8b",
    "workload": {"prompt_tokens": 512, "output_tokens": 128, "requests_per_s": 2},
}


class Here:
    """A worker in this process."""

    def ask(self, name: str, body: bytes) -> Reply:
        with refused_here():
            return answer(name, body, LIMIT_S)

    def end(self) -> None:
        pass
