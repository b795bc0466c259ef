"""What the README beside launch files says of prefill and decode pools."""

from __future__ import annotations

from collections.abc import Sequence

from optimizer.deployment.limits import start_limit_s
from optimizer.deployment.options import POOL_TARGETS, SERVICE_PORT
from optimizer.deployment.pool_router import install, percent, router_of, routings
from optimizer.deployment.service import Engine, Service
from optimizer.deployment.shell import NIXL
from optimizer.engines.registry import engine_of
from optimizer.engines.transfer import transfer_of
from optimizer.writing.quoting import markdown

FAST = {
    "network": (
        "The cache crosses the network, and the answer counts on its full bandwidth: NIXL (UCX) takes RDMA where the processes see the "
        "devices, and falls back to TCP, which is slower than planned, where they do not"
    ),
    "NVLink": (
        "The cache crosses NVLink: the processes of both pools have to see each other's GPUs by CUDA IPC (one host, or containers that "
        "share IPC and PID namespaces); otherwise UCX copies through the host, which is slower than planned"
    ),
    "PCIe": "The cache crosses PCIe within the node",
}
"""What has to be there for the link that the answer counts on."""


def needs(service: Service) -> list[str]:
    """What the router and the transfer need besides the engine."""
    return [f"nixl ({NIXL})", f"{router_of(service).package} ({install(service)})"]


def section(service: Service) -> list[str]:
    """Lines about the pools; nothing where every instance does both."""
    if not service.pooled:
        return []
    options, router = service.options, router_of(service)
    counts = " and ".join(_counted(service.of_role(role), role) for role in service.roles)
    said = {
        "llm-d": "llm-d's router",
        "dynamo": "Dynamo's frontend",
    }.get(options.target, f"the router ({router.package} {router.version})")
    limit = max(start_limit_s(service.weight_bytes(engine)) for engine in service.engines)
    lines = [
        *_dealt(service),
        "",
        "## Prefill and decode",
        "",
        f"{counts}: {said} sends each request to one prefill instance and one decode instance "
        "in turn; the cache goes from the one to the other, "
        f"{engine_of(options.engine).title}'s {transfer_of(options.engine).connector} carries it.",
        "",
        f"- {FAST[service.link]}{_devices(service)}.",
    ]
    if options.target in ("shell", "ray", "systemd", "compose"):
        lines.append(
            "- Instances tell each other their nodes' names as above. A node's own name must not stand for a loopback address there "
            "(Debian writes 127.0.1.1 into /etc/hosts): name the addresses with --hosts if it does."
        )
    if router.bootstrap and options.target not in POOL_TARGETS:
        lines.append(
            f"- An instance that is not up within {limit:,} s of the router's start is left out by {router.package} until the router "
            "starts anew."
        )
    if options.in_pods:
        lines.append(f"- {_evictions(service)}")
    lines.append(
        f"- Both pools have to run the same release of {engine_of(options.engine).title}: update them together."
    )
    return lines


def _dealt(service: Service) -> list[str]:
    """How nginx deals requests between joint instances and pools, or between routers of pools whose parts are sent shares of their own."""
    if not service.dealt or (service.options.in_pods and not service.uneven):
        return []
    joint = service.of_role("")
    port = "" if service.options.in_pods else f" (port {SERVICE_PORT})"
    sent = [f"{percent(service.joint_share)} to the {_counted(joint, 'joint')}"] if joint else []
    for one in routings(service):
        known = f"{_counted(one.prefill, 'prefill')}, {_counted(one.decode, 'decode')}"
        where = "" if service.options.in_pods else f", port {one.port}"
        sent.append(f"{percent(one.share)} to {one.name} ({known}{where})")
    return [
        "",
        "## Joint instances beside pools" if joint else "## Shares",
        "",
        f"nginx{port} deals requests at random: {'; '.join(sent)}. Each part keeps its share while any of its servers is up, as the answer "
        "counts; a part that is down as a whole leaves its requests to the others, which may then be slower than stated. The table above "
        "has shares of all requests: each that the pools get meets one prefill and one decode instance.",
    ]


def _counted(engines: Sequence[Engine], kind: str) -> str:
    return f"{len(engines)} {kind} {'instance' if len(engines) == 1 else 'instances'}"


def _devices(service: Service) -> str:
    """What manifests leave open of the link."""
    if not service.options.in_pods:
        return ""
    if service.link == "network":
        return ". The manifests name no such device, because each cluster has its own: add its resource (rdma/…) to both pools"
    return ". Pods share neither by themselves: hostIPC and hostPID are your cluster's policy to allow"


def _evictions(service: Service) -> str:
    """What the budgets allow, and where that is less than each pool alone could miss."""
    if not service.may_lose_of:
        return "Nothing may be evicted: what pools on an inventory may miss at once is not worked out, and nodes are drained by hand."
    said = " and ".join(f"{count} {role}" for role, count in zip(service.roles, service.may_lose_of, strict=True))
    return (
        f"Evictions may take {said} instances away, both at the same time: what the losses in survive leave, checked for both at once. "
        "A budget for each pool cannot say that one or the other may go."
    )


def entrance(service: Service) -> list[str]:
    """Where clients come in."""
    places = [markdown(service.host(node)) for node in service.routers]
    more = (
        " A client that cannot connect to one has to try the next: give it every address, or put a load balancer before them that "
        "asks /readiness."
        if len(places) > 1
        else " With it, or with that node, the service is away: it is a single point."
    )
    return [
        f"Requests go to port {SERVICE_PORT} of {' or '.join(places)}, where the router is; its /readiness says how many instances are "
        f"up.{more}"
    ]
