"""Launch files of joint instances beside prefill and decode pools, and one nginx before both that deals requests by share.

Scripts, Compose files, units and jobs of both stand in one folder, as those of one service: no two instances share a port or a GPU. In
Kubernetes each part has a folder. ``docs/deploy.md``, section 10.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction

from optimizer.deployment.chosen import Chosen
from optimizer.deployment.files import files_of_service
from optimizer.deployment.kubernetes import nginx_router, pool_servers, servers_of
from optimizer.deployment.llm_d import llm_d_joint_files, route_start, weighted_route
from optimizer.deployment.names import service_name
from optimizer.deployment.options import SERVICE_PORT, Options
from optimizer.deployment.plan import plan_lines
from optimizer.deployment.pool_router import dealt
from optimizer.deployment.router import JOINT, POOLS, ToServer
from optimizer.deployment.service import Service, build_service
from optimizer.facts.errors import ProblemError
from optimizer.facts.side_by_side import TENTHS
from optimizer.results.place_beside import Moved, moved
from optimizer.results.placement import Placement
from optimizer.writing.quoting import markdown, markdown_code
from optimizer.writing.yaml_text import yaml_text

PARTS = (JOINT, POOLS)
LONGEST = 24
"""Letters of the service's name in that of a part, which is told by what follows."""


@dataclass(frozen=True, slots=True)
class BothParts:
    """Both parts of what is to be launched."""

    name: str
    label: str
    joint: Chosen
    pools: Chosen
    """On GPUs of their own."""
    tenths: int
    """Of the requests that the joint instances are sent."""
    verdict: str

    @property
    def nodes(self) -> list[str]:
        """Nodes of either part, the joint ones first."""
        return list(dict.fromkeys((*self.joint.placement.nodes, *self.pools.placement.nodes)))

    @property
    def share(self) -> Fraction:
        """Of the requests that the joint instances are sent."""
        return Fraction(self.tenths, TENTHS)

    @property
    def broken(self) -> tuple[str, ...]:
        """A sentence for each rule that a part does not keep."""
        parts = zip(PARTS, (self.joint, self.pools), strict=True)
        return tuple(f"{part.capitalize()}: {note}" for part, one in parts for note in one.broken)

    @property
    def together(self) -> Chosen:
        """Both as one service."""
        pools = tuple(replace(one, pool=one.pool + len(self.joint.problems)) for one in self.pools.placement.instances)
        return Chosen(
            self.name,
            self.label,
            (*self.joint.problems, *self.pools.problems),
            Placement((*self.joint.placement.instances, *pools)),
            0,
            self.verdict,
            self.broken,
            max(self.joint.routers, self.pools.routers),
            (*("" for _ in self.joint.problems), *self.pools.roles),
            (),
            self.pools.link,
            self.share,
        )


def beside_of(
    name: str, label: str, verdict: str, chosen: tuple[Chosen, Chosen], tenths: int, places: tuple[Moved, Moved]
) -> BothParts:
    """Both parts on the GPUs that they share out.

    Args:
        name: of the service.
        label: of both.
        verdict: on both, a few words.
        chosen: the joint instances and the pools, each on GPUs counted from its first.
        tenths: of the requests that the joint instances are sent.
        places: where a GPU of either part stands among all.
    """
    joint, pools = (
        replace(one, placement=moved(one.placement, place)) for one, place in zip(chosen, places, strict=True)
    )
    return BothParts(name, label, joint, pools, tenths, verdict)


def side_by_side_files(beside: BothParts, options: Options, made_by: str) -> tuple[dict[str, str], list[str]]:
    """Text of every file by its path, and lines that say what would start where.

    Args:
        beside: both parts.
        options: of both.
        made_by: ends the title of every file.

    Raises:
        ProblemError: an engine that cannot run a part, or a target that cannot deal requests by share.
    """
    if options.target in ("kubernetes", "llm-d"):
        return _in_folders(beside, options, made_by)
    if options.in_pods:
        raise ProblemError(
            "--target",
            f"{options.target} is not written for joint instances beside pools: its frontend takes turns among workers and knows no share; "
            "use --target llm-d or kubernetes, or state serving: joint or disaggregated for the best of one kind",
        )
    chosen = beside.together
    service = build_service(chosen, options, f"{chosen.title(options.engine_name)}; {made_by}")
    files = files_of_service(service)
    return files, plan_lines(service, files)


def _in_folders(beside: BothParts, options: Options, made_by: str) -> tuple[dict[str, str], list[str]]:
    """Manifests of each part by itself, which name their own objects, and what deals requests between both."""
    short = service_name(beside.name)[:LONGEST].strip("-")
    by_llm_d = options.target == "llm-d"
    files: dict[str, str] = {}
    lines: list[str] = []
    services: list[Service] = []
    for part, one in zip(PARTS, (beside.joint, beside.pools), strict=True):
        own = replace(one, name=f"{short}-{part}")
        # Joint instances are no pools to llm-d's guide of them: their pods are those of Kubernetes.
        as_pods = replace(options, target="kubernetes", metrics=by_llm_d)
        chosen_options = as_pods if part == JOINT else options
        built = build_service(own, chosen_options, f"{one.title(options.engine_name)}; {made_by}")
        service = replace(built, fronted=True)
        written = files_of_service(service)
        if by_llm_d and part == JOINT:
            written = {**llm_d_joint_files(service), "README.md": written["README.md"]}
        files |= {f"{part}/{path}": text for path, text in written.items()}
        lines += plan_lines(service, written)[:-2]
        services.append(service)
    chosen = beside.together
    title = f"{chosen.title(options.engine_name)}; {made_by}"
    joint, pools = services
    app = f"{short}-both"
    if by_llm_d:
        tenths = ((joint, beside.tenths), (pools, TENTHS - beside.tenths))
        weights = [(service_name(one.name), weight) for one, weight in tenths]
        files["route.yaml"] = yaml_text(weighted_route(app, options.namespace, weights), title=title)
        guides = zip(weights, ("optimized-baseline", "pd-disaggregation"), PARTS, strict=True)
        start = route_start(options.namespace, [(name, guide, part) for (name, _), guide, part in guides])
        lines.append("the cluster's Gateway deals requests by route.yaml")
        how = "`route.yaml` has the cluster's Gateway deal requests between the parts at random, each to llm-d's own router of that part."
    else:
        servers: list[ToServer] = [(address, weight, JOINT, "/health") for address, weight in servers_of(joint)]
        servers += pool_servers(pools)
        pools_share = 1 - beside.share
        shares = [(JOINT, beside.share), *((part, share * pools_share) for part, share in dealt(pools))]
        routers = replace(joint, title=title, router_count=chosen.routers)
        documents = nginx_router(routers, app, servers, len(joint.engines) + len(pool_servers(pools)), shares)
        files["router.yaml"] = yaml_text(*documents, title=title)
        start = _kubernetes_start(app, options)
        lines.append(f"routers before both: {chosen.routers}, port {SERVICE_PORT}")
        how = (
            "`router.yaml` is nginx, which deals requests between the parts at random. Each part keeps its share while any of its pods "
            "serves; a part that is down as a whole leaves its requests to the other."
        )
    files["README.md"] = _readme(beside, services, title, how, start)
    return files, [*lines, f"files: {', '.join(sorted(files))}", "Nothing was written."]


def _kubernetes_start(app: str, options: Options) -> list[str]:
    asked = markdown_code(f'"model": "{options.model_id}"')
    return [
        "```bash",
        f"kubectl create secret generic huggingface -n {options.namespace} --from-literal=token=YOUR_TOKEN  # gated or private models",
        f"kubectl apply -f {JOINT}/engines.yaml",
        f"kubectl apply -f {POOLS}/engines.yaml -f {POOLS}/router.yaml",
        "kubectl apply -f router.yaml",
        "```",
        "",
        f"Ask `http://{app}-router.{options.namespace}:{SERVICE_PORT}/v1/chat/completions` with {asked}.",
    ]


def _readme(beside: BothParts, services: list[Service], title: str, how: str, start: list[str]) -> str:
    shares = beside.share, 1 - beside.share
    lines = [
        f"# {markdown(beside.name)}",
        "",
        f"{markdown(title)}.",
        "",
        *(f"- {markdown(note)}" for note in beside.broken),
        "Joint instances stand beside prefill and decode pools. Each folder holds the launch files of one part; its README.md says what it",
        f"needs. {how}",
        "",
        "| part | instances | of the requests | GPUs |",
        "|---|---|---|---|",
        *(
            f"| {part} | {len(one.engines)} | {float(share):.0%} | {sum(len(e.instance.gpus) for e in one.engines)} |"
            for part, one, share in zip(PARTS, services, shares, strict=True)
        ),
        "",
        *start,
        "",
    ]
    return "\n".join(lines)
