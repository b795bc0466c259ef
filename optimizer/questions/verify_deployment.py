"""``verify-deployment``: a running service beside the plan of an answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from optimizer.facts.errors import ProblemError

if TYPE_CHECKING:
    from optimizer.deployment.comparison import PlanDifference
    from optimizer.deployment.service import Service


def findings_of(
    service: Service,
    answer: Any,
    url: str,
    *,
    engines: str | None = None,
    logs: tuple[str, ...] = (),
    load: str | None = None,
    requests: int | None = None,
) -> list[PlanDifference]:
    """Every comparison that can be made.

    Args:
        service: of ``deployment.service.build_service``.
        answer: that the service was planned from.
        url: of the router, or of the only engine.
        engines: ``HOST:PORT`` of engines to ask one by one, with commas.
        logs: start-up logs of engines.
        load: JSON file of ``vllm bench serve``.
        requests: so many of our own are sent and timed.

    Raises:
        ProblemError: no server answers, or a file or number that is not what is asked for.
    """
    from optimizer.deployment.comparison import compare_engine, compare_load, compare_pools_up, compare_up
    from optimizer.deployment.measure import measure
    from optimizer.deployment.memory import planned_caches
    from optimizer.deployment.observed import instances_up, read_log, see
    from optimizer.deployment.pool_router import routings
    from optimizer.results.inventory import InventoryAnswer
    from optimizer.results.side_by_side import SideBySideAnswer

    base = _base(url, "URL")
    several = isinstance(answer, InventoryAnswer)
    metrics = [pool.metrics for pool in answer.pools] if several else [answer.metrics]
    caches = planned_caches(service) if service.pooled else [one.kv_cache_tokens for one in metrics]
    ours = service.routed and (service.dealt or not service.pooled)
    found = [compare_up(service, instances_up(base), len(routings(service)))] if ours else []
    found += compare_pools_up(service, _pools_up(service, base))
    asked = [_base(f"http://{one.strip()}", "--engines") for one in engines.split(",")] if engines else [base]
    for place in asked:
        found += compare_engine(service, caches, see(place), service.engines)
    for name in logs:
        try:
            text = Path(name).read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            raise ProblemError("--log", f"{name} cannot be read ({error.strerror})") from None
        found += compare_engine(service, caches, read_log(name, text), service.engines)
    if load is None and requests is None:
        return found
    if service.beside and not isinstance(answer, SideBySideAnswer):
        raise ProblemError(
            "--load", "is for equal nodes where joint instances stand beside pools, not for an inventory"
        )
    if len(metrics) != 1:
        raise ProblemError("--load", "is for a service of equal instances: an inventory predicts percentiles per pool")
    problem = service.problems[0][0]
    limits = {
        name: getattr(problem.requirements, name, None)
        for name in ("ttft_p50_ms", "ttft_p99_ms", "tpot_p50_ms", "tpot_p99_ms")
    }
    # Of joint instances beside pools, this is the part of them.
    rate = problem.workload.requests_per_s / float(service.joint_share or 1)
    if load is not None:
        found += compare_load(metrics[0], limits, rate, _bench(load), load)
    if requests is not None:
        prompt, output = round(problem.workload.prompt_tokens), round(problem.workload.output_tokens)
        timed = measure(base, service.options.model_id, prompt, output, rate, requests)
        found += compare_load(metrics[0], limits, rate, timed, f"{requests} requests")
    return found


def _pools_up(service: Service, base: str) -> dict[str, tuple[int, int]] | None:
    """What the routers of pools tell; with nginx before them they stand on its node, at ports of their own, and each may know a part."""
    from optimizer.deployment.observed import pools_up
    from optimizer.deployment.pool_router import routings

    if not service.dealt:
        return pools_up(base)
    parts = urlsplit(base)
    told: dict[tuple[str, int], tuple[int, int]] = {}
    for one in routings(service):
        try:
            up = pools_up(f"{parts.scheme}://{parts.hostname}:{one.port}")
        except ProblemError:
            up = None
        if up is None:
            return None
        # Several routers know one part of a pool: it counts once.
        for role, engines in (("prefill", one.prefill), ("decode", one.decode)):
            told[role, engines[0].instance.pool] = up[role]
    sums = {role: [seen for (of, _), seen in told.items() if of == role] for role in service.roles}
    return {role: (sum(up for up, _ in seen), sum(every for _, every in seen)) for role, seen in sums.items()}


def _base(url: str, field: str) -> str:
    parts = urlsplit(url if "://" in url else f"http://{url}")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ProblemError(field, f"{url!r} is no address such as http://host:8000")
    return f"{parts.scheme}://{parts.netloc}"


def _bench(name: str) -> dict[str, Any]:
    try:
        # --append-result writes a result on each line: the last counts.
        lines = Path(name).read_text(encoding="utf-8").strip()
        try:
            found = json.loads(lines)
        except ValueError:
            found = json.loads(lines.splitlines()[-1])
    except OSError as error:
        raise ProblemError("--load", f"{name} cannot be read ({error.strerror})") from None
    except (ValueError, IndexError):
        raise ProblemError("--load", f"{name} is not JSON as vllm bench serve --save-result writes it") from None
    if not isinstance(found, dict):
        raise ProblemError("--load", f"{name} is not JSON as vllm bench serve --save-result writes it")
    return found
