"""The router in front of several engine instances: nginx, weighted by the share of requests that the answer gives each.

``programs/route.sh`` runs it and leads it by the engines' health. Why nginx, and why these settings: ``docs/deploy.md``, section 7.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import gcd

from optimizer.writing.quoting import shell_word

IMAGE = "nginx:1.28"
JOINT, POOLS = "joint", "pools"
"""Parts of a service that a router may deal requests between, each a group of servers."""
ToServer = tuple[str, int] | tuple[str, int, str, str]
"""Host and port, weight; of a router that deals between parts also the part and the path that tells health."""
PARTS = 10_000
TRIES = 2
"""Engines that one request is sent to at most: a request that ends the engine it meets may end no more than these."""


def weights_of(shares: Sequence[float]) -> list[int]:
    """Whole numbers in the ratio of the shares, each share kept to a ten-thousandth."""
    whole = [max(1, round(Fraction(share) * PARTS)) for share in shares]
    if max(shares) - min(shares) < 1 / PARTS:
        return [1] * len(whole)
    common = gcd(*whole)
    return [value // common for value in whole]


def router_conf(port: int, engines: int, *, parts: bool = False) -> str:
    """The configuration of nginx but for the list of engines, which ``route.sh`` keeps in ``engines.conf`` beside it.

    Args:
        port: where the service listens.
        engines: how many there are, for ``/router/health``.
        parts: whether requests are dealt between parts of servers by share, and not over engines alone.
    """
    upstream = "$part" if parts else "engines"
    return f"""\
worker_processes 4;
# Not /dev/stderr: that is a socket under systemd, which nginx cannot open.
error_log stderr warn;
pid nginx.pid;
worker_shutdown_timeout 3600s;
events {{
    worker_connections 16384;
}}
http {{
    access_log off;
    include paths.conf;
    include engines.conf;
    server {{
        listen {port};
        client_max_body_size 64m;
        proxy_http_version 1.1;
        # A connection for each request: nginx does not count it as a try when a kept one breaks, and a request that ends engines
        # would meet them all.
        proxy_set_header Connection close;
        proxy_set_header Host $host;
        # Tokens are passed on as they come.
        proxy_buffering off;
        proxy_connect_timeout 2s;
        proxy_read_timeout 3600s;
        # Before its first byte, an answer that fails is asked of another engine, of {TRIES} in all; 500 is what an engine says whose
        # worker died.
        proxy_next_upstream error timeout http_500 http_502 http_503 non_idempotent;
        proxy_next_upstream_tries {TRIES};
        recursive_error_pages on;
        location = /router/health {{
            default_type text/plain;
            if ($engines_up = 0) {{
                return 503 "0 of {engines} engines up\\n";
            }}
            return 200 "$engines_up of {engines} engines up\\n";
        }}
        location / {{
            if ($engines_up = 0) {{
                return 503 "no engine is up\\n";
            }}
            error_page 502 504 = @again;
            proxy_pass http://{upstream};
        }}
        # Where no engine was reached (they ended a moment ago, and the list of those that are up is not renewed yet), asking
        # others is free. A request that an engine had is never asked here again.
        location @again {{
            if ($upstream_connect_time ~ [0-9]) {{
                return 502;
            }}
            error_page 502 504 = @last;
            proxy_pass http://{upstream};
        }}
        location @last {{
            if ($upstream_connect_time ~ [0-9]) {{
                return 502;
            }}
            proxy_pass http://{upstream};
        }}
    }}
}}
"""


def start_router(
    servers: Sequence[ToServer],
    *,
    drain_s: int,
    every_address: bool = False,
    dealt: Sequence[tuple[str, Fraction]] = (),
) -> list[str]:
    """Lines of bash after the head of a script: the engines, and the program that runs the router, which is beside it.

    Args:
        servers: each instance, or each router of pools.
        drain_s: how long streams may go on when the router is stopped.
        every_address: a name stands for several instances, one an address (Kubernetes' headless Services).
        dealt: (part, of all requests) where requests are dealt between parts of servers.
    """
    lines = "\n".join(" ".join(map(str, server)) for server in servers)
    return [
        f"engines={shell_word(lines)}",
        f"every_address={int(every_address)}",
        f"drain_s={drain_s}",
        *(
            [f"dealt={shell_word(' '.join(f'{part} {float(100 * share):g}' for part, share in dealt))}"]
            if dealt
            else []
        ),
        ". ./route.sh",
    ]
