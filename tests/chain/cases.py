"""Chain problems for tests: random tiny ones, and larger ones like those of the issue."""

from __future__ import annotations

import random
from typing import Any

GIGABYTE_S, SLOW_S, ACTIVATION = 1.25e9, 12.5e6, 16384.0
SIZES = {"T4": (5709.2, 4), "L4": (7557.9, 7), "V100": (9800.0, 4), "A100": (23833.9, 12)}
PAIRS = {"T4x2": (9400.0, 8), "L4x2": (12500.0, 14), "T4x4": (15500.0, 16)}


def table(first: float, most: int) -> dict[int, float]:
    """Tokens/s by layers, falling a little faster than 1/n as caches shrink, like the measured tables."""
    fall = [1 - 0.5 * ((n - 1) / max(1, most - 1)) ** 1.3 for n in range(1, most + 1)]
    return {n: round(first / n * fall[n - 1], 3) for n in range(1, most + 1)}


def tiny(seed: int, links: str = "none", connection: str = "exact") -> dict[str, Any]:
    """At most four nodes and five layers; ``links``: none, some (random capacities, some missing), or slow partitions."""
    chance = random.Random(seed)
    layers = chance.randint(2, 5)
    kinds = ["A", "B"][: chance.randint(1, 2)]
    types = {
        kind: {"throughput_tokens_per_s_by_layers": table(chance.randint(20, 90), chance.randint(1, min(4, layers)))}
        for kind in kinds
    }
    names = [str(n) for n in range(chance.randint(2, 4 if layers <= 4 else 3))]
    nodes = [{"name": n, "type": chance.choice(kinds), "partition": chance.choice("xy")} for n in names]
    cluster: dict[str, Any] = {"types": types, "nodes": nodes}
    if links == "some":
        cluster["links"] = [
            {"src": a, "dst": b, "tokens_per_s": chance.randint(1, 60), "bidirectional": chance.random() < 0.5}
            for a in names
            for b in names
            if a < b and chance.random() < 0.8
        ]
        cluster["links"] += [{"src": "source", "dst": n, "tokens_per_s": chance.randint(5, 80)} for n in names]
        if not cluster["links"]:
            cluster["links"] = [{"src": names[0], "dst": names[1], "tokens_per_s": 5}]
    elif links == "slow":
        here = sorted({node["partition"] for node in nodes})
        cluster["partition_links"] = [
            {"between": [a, b], "tokens_per_s": 10_000 if a == b else 9} for a in here for b in here if a <= b
        ]
    return {"kind": "chain", "model": {"layers": layers}, "cluster": cluster, "connection": connection}


def limited(seed: int, connection: str, limits: str) -> dict[str, Any]:
    """A tiny instance with limits on chains ("stages", "ms" or "both"), latencies of links, and stage times of one type."""
    values, chance = tiny(seed, "some", connection), random.Random(9_000 + seed)
    for link in values["cluster"]["links"]:
        link["latency_ms"] = chance.choice([0, 1, 5, 20])
    for kind in values["cluster"]["types"].values():
        if chance.random() < 0.5:
            kind["time_ms_by_layers"] = {n: 4 * n for n in kind["throughput_tokens_per_s_by_layers"]}
    values["requirements"] = {
        "max_stages": chance.choice([1, 2, 2, 3]),
        "max_ms_per_token": chance.choice([17, 42, 77, 121, 177, 301]),
    }
    if limits != "both":
        del values["requirements"]["max_ms_per_token" if limits == "stages" else "max_stages"]
    return values


def generated(seed: int, nodes: int, types: int, partitions: int = 1, layers: int = 80) -> dict[str, Any]:
    """Nodes of mixed types; with several partitions 12.5 MB/s between them and 1.25 GB/s inside, 16 KiB a token."""
    chance = random.Random(seed)
    sizes = dict(list({**SIZES, **PAIRS}.items())[:types])
    stated = {
        name: {"throughput_tokens_per_s_by_layers": table(first * chance.uniform(0.9, 1.1), most)}
        for name, (first, most) in sizes.items()
    }
    names = [f"p{n}" for n in range(partitions)]
    listed = []
    for number in range(nodes):
        here = names[number * partitions // nodes]
        listed.append({"name": f"n{number}", "type": chance.choice(list(sizes)), "partition": here})
    used = {node["type"] for node in listed}
    return {
        "kind": "chain",
        "name": f"generated-{seed}-{nodes}-{types}-{partitions}",
        "model": {"layers": layers, "activation_bytes": ACTIVATION, "token_bytes": 2},
        "cluster": {
            "types": {name: kind for name, kind in stated.items() if name in used},
            "nodes": listed,
            "partition_links": [
                {"between": [a, b], "bandwidth_bytes_per_s": GIGABYTE_S if a == b else SLOW_S}
                for number, a in enumerate(names)
                for b in names[number:]
            ],
            "coordinator": {"bandwidth_bytes_per_s": SLOW_S},
        },
    }


REGIONS = ({"A100": 4}, {"L4": 2, "T4": 8}, {"L4": 6, "T4": 4})


def uneven(
    seed: int, layers: int = 80, *, regions: tuple[dict[str, int], ...] = REGIONS, normal: bool = False
) -> dict[str, Any]:
    """Nodes in regions in which every link has a bandwidth of its own: 12.5 MB/s ± 2.5 between them, 1.25 GB/s ± 0.125 inside,
    16 KiB a token; links to source and sink of 10 to 15 MB/s at 2 bytes a token.

    Args:
        normal: deviations are normal and links carry as much both ways; otherwise they are uniform, each way drawn by itself.
    """
    chance = random.Random(seed)
    listed = [(kind, f"p{n}") for n, kinds in enumerate(regions) for kind, count in kinds.items() for _ in range(count)]
    nodes = [{"name": f"n{number}", "type": kind, "partition": here} for number, (kind, here) in enumerate(listed)]

    def drawn(mean: float, by: float) -> float:
        return max(1.0, chance.gauss(mean, by)) if normal else chance.uniform(mean - by, mean + by)

    links = []
    for number, one in enumerate(nodes):
        for other in nodes[:number] if normal else nodes[:number] + nodes[number + 1 :]:
            inside, slow = drawn(GIGABYTE_S, GIGABYTE_S / 10), drawn(SLOW_S, SLOW_S / 5)
            per_s = round((inside if one["partition"] == other["partition"] else slow) / ACTIVATION, 3)
            links.append({"src": one["name"], "dst": other["name"], "tokens_per_s": per_s, "bidirectional": normal})
        for src, dst in (("source", one["name"]), (one["name"], "sink")):
            links.append({"src": src, "dst": dst, "tokens_per_s": round(chance.uniform(10e6, 15e6) / 2, 3)})
    types = {kind: {"throughput_tokens_per_s_by_layers": table(*SIZES[kind])} for kind in ("A100", "L4", "T4")}
    cluster = {"types": types, "nodes": nodes, "links": links}
    return {"kind": "chain", "name": f"uneven-{seed}", "model": {"layers": layers}, "cluster": cluster}
