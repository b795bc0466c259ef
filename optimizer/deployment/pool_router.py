"""The router before prefill and decode pools: the engine's own, which sends a request to one instance of each and joins the two.

What it does when instances end and return: ``docs/deploy.md``, section 10.
"""

from __future__ import annotations

from collections.abc import Callable

from optimizer.deployment.limits import start_limit_s
from optimizer.deployment.options import SERVICE_PORT
from optimizer.deployment.router import TRIES
from optimizer.deployment.service import Engine, Service
from optimizer.engines.routers import PoolRouter, router_of_pools

IMAGE = "python:3.12-slim"
"""Has what the routers' packages need; they are installed when it starts."""
METRICS_PORT = 8199
"""Of the router itself; its default is one of those that instances of other services take."""
LOOKS_EVERY_S = 5
"""Seconds between two questions for an engine's health; the routers' own 60 is a minute of failed requests."""
READY = "/readiness"
"""Asked of it: 200 while it can serve. Its ``/health`` is 503 while any instance is away (vllm-router)."""
BESIDE_PORT = 7999
"""Where it listens with joint instances beside the pools: the service's own port is that of the router before both."""
MISSES = 2
"""Unanswered questions after which an engine gets no requests."""


def router_of(service: Service) -> PoolRouter:
    """The router of the service's engine."""
    return router_of_pools(service.options.engine)


def port_of(service: Service) -> int:
    """Where the router of the pools listens."""
    return BESIDE_PORT if service.beside else SERVICE_PORT


def name_of_router(service: Service) -> str:
    """What its process, its container and its job are called; its script has ``start-`` before it."""
    return "pool-router" if service.beside else "router"


def names_of_routers(service: Service) -> list[str]:
    """What runs on each node with routers: of joint instances beside pools, the pools' and the one before both."""
    if not service.routed:
        return []
    return [name_of_router(service), "router"] if service.beside else ["router"]


def router_words(service: Service, address: Callable[[Engine], str]) -> tuple[str, ...]:
    """The router's command, checked against its flags.

    Args:
        address: ``HOST:PORT`` of an instance.
    """
    router = router_of(service)
    words = ["python3", "-m", router.module, router.pools_flag]
    for engine in service.of_role("prefill"):
        words += ["--prefill", f"http://{address(engine)}"]
        words += [str(engine.bootstrap)] if engine.bootstrap is not None else []
    for engine in service.of_role("decode"):
        words += ["--decode", f"http://{address(engine)}"]
    # Taking turns is never worse than the requests at random that the answer counts on.
    words += ["--policy", "round_robin", "--host", "0.0.0.0", "--port", str(port_of(service))]
    words += ["--health-check-interval-secs", str(LOOKS_EVERY_S), "--health-failure-threshold", str(MISSES)]
    # An instance that is not up within this time of the router's start is left out for good by one of the routers.
    words += [
        "--worker-startup-timeout-secs",
        str(max(start_limit_s(service.weight_bytes(e)) for e in service.engines)),
    ]
    words += ["--prometheus-port", str(METRICS_PORT), "--retry-max-retries", str(_tries(service))]
    router.refuse_unknown(words)
    return tuple(words)


def _tries(service: Service) -> int:
    """How many instances of a pool one request is sent to at most (sglang-router; vllm-router asks one pair alone): one that ends what it
    meets may end no more than with nginx. Where nginx stands before several of these routers, it asks a second one itself."""
    return 1 if service.beside and len(service.routers) > 1 else TRIES


def install(service: Service) -> str:
    """The command that installs the router."""
    router = router_of(service)
    return f"python3 -m pip install {router.package}=={router.version}"
