"""The router before prefill and decode pools: the engine's own, which sends a request to one instance of each and joins the two.

What it does when instances end and return: ``docs/deploy.md``, section 10.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from optimizer.deployment.limits import start_limit_s
from optimizer.deployment.options import SERVICE_PORT
from optimizer.deployment.router import JOINT, POOLS, TRIES
from optimizer.deployment.service import WHOLE, Engine, Service
from optimizer.engines.routers import PoolRouter, router_of_pools
from optimizer.results.place_pools import ROLES

IMAGE = "python:3.12-slim"
"""Has what the routers' packages need; they are installed when it starts."""
METRICS_PORT = 8199
"""Of the router itself; its default is one of those that instances of other services take."""
LOOKS_EVERY_S = 5
"""Seconds between two questions for an engine's health; the routers' own 60 is a minute of failed requests."""
READY = "/readiness"
"""Asked of it: 200 while it can serve. Its ``/health`` is 503 while any instance is away (vllm-router)."""
POOL_ROUTER = "pool-router"
BESIDE_PORT = 7999
"""Where it listens with nginx before it, which has the service's own port; several count down from here."""
MISSES = 2
"""Unanswered questions after which an engine gets no requests."""


def router_of(service: Service) -> PoolRouter:
    """The router of the service's engine."""
    return router_of_pools(service.options.engine)


@dataclass(frozen=True, slots=True)
class PoolRouting:
    """One router of pools, which takes turns among the instances that it knows."""

    name: str
    """Of its process, its container and its job; its script has ``start-`` before it."""
    port: int
    metrics_port: int
    share: Fraction
    """Of all requests, what it is sent."""
    prefill: tuple[Engine, ...]
    decode: tuple[Engine, ...]

    @property
    def engines(self) -> tuple[Engine, ...]:
        """Of either pool."""
        return (*self.prefill, *self.decode)


def routings(service: Service) -> list[PoolRouting]:
    """The routers of pools: one, or, where parts of a pool are sent other shares than their instances in turn would be, one for each part
    of prefill with each of decode, which nginx before them deals requests between."""
    prefill, decode = (tuple(service.of_role(role)) for role in ROLES)
    if not prefill:
        return []
    if not service.dealt:
        return [PoolRouting("router", SERVICE_PORT, METRICS_PORT, Fraction(1), prefill, decode)]
    rest = 1 - service.joint_share
    if not service.uneven:
        return [PoolRouting(POOL_ROUTER, BESIDE_PORT, METRICS_PORT, rest, prefill, decode)]
    pairs = [(one, other) for one in _parts(prefill) for other in _parts(decode)]
    return [
        PoolRouting(
            f"{POOL_ROUTER}-{number}",
            BESIDE_PORT - number,
            METRICS_PORT - number,
            rest * _share(one, prefill) * _share(other, decode),
            one,
            other,
        )
        for number, (one, other) in enumerate(pairs)
    ]


def _parts(engines: Sequence[Engine]) -> list[tuple[Engine, ...]]:
    """Instances of a pool by the part that they belong to, which are alike."""
    numbers = dict.fromkeys(engine.instance.pool for engine in engines)
    return [tuple(engine for engine in engines if engine.instance.pool == number) for number in numbers]


def _share(part: Sequence[Engine], pool: Sequence[Engine]) -> Fraction:
    """Of the pool's requests, what a part is sent."""
    part_share, whole = (sum(engine.instance.share for engine in engines) for engines in (part, pool))
    return Fraction(part_share / whole).limit_denominator(WHOLE)


def part_name(service: Service, number: int) -> str:
    """What nginx calls a router of pools."""
    return f"{POOLS}-{number}" if service.uneven else POOLS


def dealt(service: Service) -> list[tuple[str, Fraction]]:
    """(part, of all requests) of all that nginx deals between."""
    joint = [(JOINT, service.joint_share)] if service.beside else []
    return [*joint, *((part_name(service, number), one.share) for number, one in enumerate(routings(service)))]


def percent(share: Fraction) -> str:
    """Such as ``20%`` or ``16.8%``."""
    return f"{float(100 * share):g}%"


def names_of_routers(service: Service) -> list[str]:
    """What runs on each node with routers: those of pools, and the one before several or before joint instances too."""
    if not service.routed:
        return []
    pools = [one.name for one in routings(service)]
    return [*pools, "router"] if service.dealt or not pools else pools


def router_words(service: Service, routing: PoolRouting, address: Callable[[Engine], str]) -> tuple[str, ...]:
    """A router's command, checked against its flags.

    Args:
        routing: which.
        address: ``HOST:PORT`` of an instance.
    """
    router = router_of(service)
    words = ["python3", "-m", router.module, router.pools_flag]
    for engine in routing.prefill:
        words += ["--prefill", f"http://{address(engine)}"]
        words += [str(engine.bootstrap)] if engine.bootstrap is not None else []
    for engine in routing.decode:
        words += ["--decode", f"http://{address(engine)}"]
    # Taking turns is never worse than the requests at random that the answer counts on.
    words += ["--policy", "round_robin", "--host", "0.0.0.0", "--port", str(routing.port)]
    words += ["--health-check-interval-secs", str(LOOKS_EVERY_S), "--health-failure-threshold", str(MISSES)]
    # An instance that is not up within this time of the router's start is left out for good by one of the routers.
    words += [
        "--worker-startup-timeout-secs",
        str(max(start_limit_s(service.weight_bytes(e)) for e in routing.engines)),
    ]
    words += ["--prometheus-port", str(routing.metrics_port), "--retry-max-retries", str(_tries(service))]
    router.refuse_unknown(words)
    return tuple(words)


def _tries(service: Service) -> int:
    """How many instances of a pool one request is sent to at most (sglang-router; vllm-router asks one pair alone): one that ends what it
    meets may end no more than with nginx. Where nginx stands before several of these routers, it asks a second one itself."""
    return 1 if service.dealt and len(service.routers) > 1 else TRIES


def install(service: Service) -> str:
    """The command that installs the router."""
    router = router_of(service)
    return f"python3 -m pip install {router.package}=={router.version}"
