"""The router in front of several engine instances: nginx, weighted by the share of requests that the answer gives each.

Why nginx: it divides requests by stated weights, which neither engine's own router does. ``docs/deploy.md``, section 6.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import gcd

IMAGE = "nginx:1.28"
PARTS = 10_000


def weights_of(shares: Sequence[float]) -> list[int]:
    """Whole numbers in the ratio of the shares, each share kept to a ten-thousandth."""
    whole = [max(1, round(Fraction(share) * PARTS)) for share in shares]
    if max(shares) - min(shares) < 1 / PARTS:
        return [1] * len(whole)
    common = gcd(*whole)
    return [value // common for value in whole]


def router_conf(servers: Sequence[tuple[str, int]], port: int, resolver: str | None = None) -> str:
    """The configuration file.

    Args:
        servers: (address with port, weight) of each instance.
        port: where the service listens.
        resolver: a DNS server; with it, names are looked up again while running, and each may stand for several instances.
    """
    resolve = " resolve" if resolver else ""
    lines = [
        f"        server {address} weight={weight}{resolve} max_fails=1 fail_timeout=10s;"
        for address, weight in servers
    ]
    dns = [f"    resolver {resolver} valid=5s ipv6=off;"] if resolver else []
    return "\n".join(
        [
            "worker_processes auto;",
            "error_log /dev/stderr warn;",
            "pid /tmp/optimizer-router.pid;",
            "events {",
            "    worker_connections 16384;",
            "}",
            "http {",
            "    access_log off;",
            *dns,
            "    upstream engines {",
            "        # Shared by all workers, so that the weights hold over all requests.",
            "        zone engines 1m;",
            *lines,
            "        keepalive 256;",
            "    }",
            "    server {",
            f"        listen {port};",
            "        client_max_body_size 64m;",
            "        location = /router/health {",
            "            return 200;",
            "        }",
            "        location / {",
            "            proxy_pass http://engines;",
            "            proxy_http_version 1.1;",
            '            proxy_set_header Connection "";',
            "            proxy_set_header Host $host;",
            "            # Tokens are passed on as they come.",
            "            proxy_buffering off;",
            "            proxy_connect_timeout 5s;",
            "            proxy_read_timeout 3600s;",
            "            # A request whose instance dies before its first token goes to another one.",
            "            proxy_next_upstream error timeout http_502 http_503 non_idempotent;",
            "        }",
            "    }",
            "}",
            "",
        ]
    )
