"""A small load of our own on a running service: streamed completions at random times, as the plan's workload says."""

from __future__ import annotations

import json
import random
import threading
import time
import urllib.request
from typing import Any

from optimizer.facts.errors import ProblemError

LEAST, MOST = 2, 10_000
LONGEST_WAIT_S = 600


def measure(base: str, model: str, prompt: int, output: int, rate: float, count: int, seed: int = 1) -> dict[str, Any]:
    """Send requests and time them, in the words of ``vllm bench serve``.

    Args:
        prompt, output: tokens of every request; prompts are random token ids, so that no prefix is shared.
        rate: requests/s, with exponential gaps.

    Raises:
        ProblemError: a count out of range, or no request was answered whole.
    """
    if not LEAST <= count <= MOST:
        raise ProblemError("--measure", f"{count} requests; {LEAST} to {MOST:,} would be right")
    dice = random.Random(seed)
    times: list[tuple[float, float]] = []
    failures: list[str] = []

    def ask(tokens: list[int]) -> None:
        try:
            times.append(_one(base, model, tokens, output))
        except (OSError, ValueError) as error:
            failures.append(str(error))

    began = time.monotonic()
    threads = []
    for _ in range(count):
        tokens = [dice.randrange(100, 3000) for _ in range(prompt)]
        threads.append(threading.Thread(target=ask, args=(tokens,), daemon=True))
        threads[-1].start()
        time.sleep(dice.expovariate(rate))
    for thread in threads:
        thread.join(LONGEST_WAIT_S)
    took = time.monotonic() - began
    if not times:
        raise ProblemError(
            "--measure", f"no request was answered whole: {failures[0] if failures else 'no answer in time'}"
        )
    first, each = sorted(one for one, _ in times), sorted(one for _, one in times)
    return {
        "completed": len(times),
        "failed": count - len(times),
        "request_throughput": len(times) / took,
        **{f"{word}_ttft_ms": _percentile(first, share) for word, share in (("median", 0.5), ("p99", 0.99))},
        **{f"{word}_tpot_ms": _percentile(each, share) for word, share in (("median", 0.5), ("p99", 0.99))},
    }


def _one(base: str, model: str, tokens: list[int], output: int) -> tuple[float, float]:
    """(time to first token, time per further token) of one request, ms."""
    body = {
        "model": model,
        "prompt": tokens,
        "max_tokens": output,
        "ignore_eos": True,
        "stream": True,
        "temperature": 0,
    }
    request = urllib.request.Request(
        f"{base}/v1/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    began = time.perf_counter()
    first, ended = 0.0, False
    with urllib.request.urlopen(request, timeout=LONGEST_WAIT_S) as answer:
        for line in answer:
            if line.startswith(b"data:"):
                first = first or time.perf_counter()
                ended = ended or b"[DONE]" in line
    if not ended:
        raise ValueError("a stream broke")
    return (first - began) * 1000, (time.perf_counter() - first) * 1000 / max(1, output - 1)


def _percentile(ordered: list[float], share: float) -> float:
    """Nearest rank."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
