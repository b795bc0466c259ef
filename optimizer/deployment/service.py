"""The whole service in the words of one engine: every instance with its commands. What targets turn into files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from optimizer.deployment.chosen import Chosen
from optimizer.deployment.command import Command
from optimizer.deployment.engines import commander_of, pool_commander_of
from optimizer.deployment.formats import conversion_note
from optimizer.deployment.options import POOL_TARGETS, SERVICE_PORT, Options
from optimizer.deployment.parts import Launch, launches
from optimizer.deployment.platforms import Platform, platform_of
from optimizer.deployment.router import weights_of
from optimizer.engines.registry import engine_of
from optimizer.engines.routers import router_of_pools
from optimizer.facts.errors import ProblemError
from optimizer.facts.hardware import GpuFacts
from optimizer.facts.problem import Problem
from optimizer.results.placement import PlacedInstance
from optimizer.writing.yaml_text import yaml_text

EQUAL = 1e-9
"""Shares that differ by no more are the same."""
WHOLE = 10**6
"""Shares are tenths of tenths over instances: exact with denominators up to this."""
BEHIND_SIDECAR = 8200
"""Where a decode instance listens whose pod has a sidecar at the service's port."""


@dataclass(frozen=True, slots=True)
class Engine:
    """One engine instance: where it stands, its commands (the serving one first) and its weight at the router."""

    launch: Launch
    commands: tuple[Command, ...]
    weight: int
    role: str = ""
    """``prefill`` or ``decode``; "" where it does both."""
    bootstrap: int | None = None
    """Port at which decode instances ask this prefill instance for its cache, where a router has to be told."""

    @property
    def instance(self) -> PlacedInstance:
        """The placed instance."""
        return self.launch.instance

    @property
    def port(self) -> int:
        """Where it answers, on its first node."""
        return self.commands[0].port


@dataclass(frozen=True, slots=True)
class Service:
    """Everything that a target needs.

    ``problems`` has the homogeneous problem of each pool's stages; ``may_lose`` instances may be away at once (``survive``).
    ``title`` is one line for the head of every file; ``notes`` are whole sentences.
    """

    name: str
    title: str
    options: Options
    problems: Sequence[Sequence[Problem]]
    engines: tuple[Engine, ...]
    may_lose: int
    notes: tuple[str, ...]
    router_count: int = 2
    may_lose_of: tuple[int, ...] = ()
    """Of each role, where there are roles; those of both at the same time."""
    link: str = ""
    """What cache crosses between roles: NVLink, PCIe or network."""
    joint_share: Fraction = Fraction(0)
    """Of the requests, what joint instances are sent beside pools; 0 where there is one kind."""
    fronted: bool = False
    """Whether this is a part behind a router that knows it: how to start all is said there."""

    @property
    def roles(self) -> tuple[str, ...]:
        """``prefill`` and ``decode`` where these are pools of their own."""
        return tuple(dict.fromkeys(engine.role for engine in self.engines if engine.role))

    @property
    def pooled(self) -> bool:
        """Whether prefill and decode are pools of their own."""
        return bool(self.roles)

    @property
    def beside(self) -> bool:
        """Whether joint instances stand beside pools."""
        return bool(self.joint_share)

    @property
    def uneven(self) -> bool:
        """Whether some pool has instances that are sent more than others of it: its router takes turns, whatever they are."""
        shares = ([engine.instance.share for engine in self.of_role(role)] for role in self.roles)
        return any(max(one) - min(one) > EQUAL for one in shares)

    @property
    def dealt(self) -> bool:
        """Whether nginx deals requests by share, between joint instances and routers of pools, or between several of these."""
        return self.beside or self.uneven

    def of_role(self, role: str) -> list[Engine]:
        """The instances of a pool; "": those that do both."""
        return [engine for engine in self.engines if engine.role == role]

    @property
    def routers(self) -> tuple[str, ...]:
        """Nodes that a router stands on, as far apart as the order of the nodes tells; none where one instance is all."""
        nodes, count = self.nodes, min(self.router_count, len(self.nodes))
        if not self.routed:
            return ()
        return tuple(nodes[place * (len(nodes) - 1) // max(1, count - 1)] for place in range(count))

    def gpu(self, engine: Engine) -> GpuFacts:
        """The GPU of an instance's first stage."""
        return self.problems[engine.instance.pool][0].hardware.gpu

    def weight_bytes(self, engine: Engine) -> int:
        """What an instance loads."""
        return self.problems[engine.instance.pool][0].model.weight_bytes

    def platform(self, engine: Engine) -> Platform:
        """The platform of an instance's GPUs."""
        return platform_of(self.gpu(engine))

    def image(self, engine: Engine) -> str:
        """The container image: as stated, else the engine's own for the instance's GPUs."""
        if self.options.image:
            return self.options.image
        images = engine_of(self.options.engine).images
        return (images.get(self.gpu(engine).capability) or images[self.platform(engine).id]).format(
            version=self.options.version
        )

    @property
    def routed(self) -> bool:
        """Whether a router stands in front."""
        return len(self.engines) > 1

    @property
    def nodes(self) -> tuple[str, ...]:
        """Nodes in use, in order of first use."""
        return tuple(dict.fromkeys(part.node for engine in self.engines for part in engine.launch.parts))

    def on(self, node: str) -> list[tuple[Engine, int]]:
        """Engines with a part on a node, and the number of that part."""
        found = []
        for engine in self.engines:
            found += [(engine, number) for number, part in enumerate(engine.launch.parts) if part.node == node]
        return found

    def host(self, node: str) -> str:
        """Host name of a node."""
        return self.options.host(node)

    def settings_files(self) -> dict[str, str]:
        """Files of settings that commands read, by name."""
        commands = [command for engine in self.engines for command in engine.commands if command.settings_file]
        return {one.settings_file: yaml_text(dict(one.settings), title=self.title) for one in commands}

    @property
    def shares(self) -> list[Fraction]:
        """The part of the requests that each engine gets by its weight, of pools each of its own pool."""
        totals: dict[str, int] = {}
        for engine in self.engines:
            totals[engine.role] = totals.get(engine.role, 0) + engine.weight
        found = [Fraction(engine.weight, totals[engine.role]) for engine in self.engines]
        if self.uneven:
            totals_of = {role: sum(engine.instance.share for engine in self.of_role(role)) for role in self.roles}
            found = [
                Fraction(engine.instance.share / totals_of[engine.role]).limit_denominator(WHOLE)
                if engine.role
                else share
                for engine, share in zip(self.engines, found, strict=True)
            ]
        if not self.beside:
            return found
        parts = [1 - self.joint_share if engine.role else self.joint_share for engine in self.engines]
        return [share * part for share, part in zip(found, parts, strict=True)]


def build_service(chosen: Chosen, options: Options, title: str) -> Service:
    """Commands of every instance, checked against the engine's flags.

    Args:
        title: one line for the head of every file.

    Raises:
        ProblemError: the engine cannot run the strategy or cannot spread it over these nodes.
    """
    from optimizer.engines.flags import engine_flags

    if options.target in POOL_TARGETS and not chosen.roles:
        raise ProblemError(
            "--target",
            f"{options.target} is written for prefill and decode pools (serving: disaggregated); joint instances take --target kubernetes",
        )
    if options.target == "llm-d":
        # Its router asks every engine for metrics, and counts one that gives none as gone.
        options = replace(options, metrics=True)
    flags = engine_flags(options.engine, options.assumed or options.version)
    commander = commander_of(options.engine)
    problems = chosen.problems
    for problem in (problem for stages in problems for problem in stages):
        platform_of(problem.hardware.gpu)
    every = launches(chosen.placement)
    routed = len(every) > 1
    roles = [chosen.roles[launch.instance.pool] if chosen.roles else "" for launch in every]
    weights = _weights(every, roles)
    widest = max(launch.instance.replicas for launch in every)
    engines = []
    for number, (launch, weight, role) in enumerate(zip(every, weights, roles, strict=True)):
        if options.target == "slurm":
            # Slurm may put any two instances on one node: no two share a port.
            launch = replace(launch, slot=number)
        bootstrap = None
        if options.in_pods and role:
            # A pod has all ports to itself.
            launch = replace(launch, slot=0)
        port = SERVICE_PORT
        if options.target == "llm-d" and role == "decode":
            port = BEHIND_SIDECAR
        elif routed and not options.in_pods:
            port += 1 + commander.PORT_STEP * launch.slot
        commands = commander.commands(problems[launch.instance.pool], launch, options, port)
        if role:
            output = problems[launch.instance.pool][0].workload.output_tokens
            commands, bootstrap = _in_pool(commands, role, launch, options, widest, output)
        for command in commands:
            flags.refuse_unknown(command.arguments, tuple(command.environment), command.settings)
        engines.append(Engine(launch, commands, weight, role, bootstrap))
    said = dict.fromkeys(note for engine in engines for command in engine.commands for note in command.notes)
    assumed = (options.unchecked,) if options.unchecked else ()
    converted = dict.fromkeys(
        note
        for engine in engines
        if (note := conversion_note(problems[engine.instance.pool][0], engine.instance.strategy, options))
    )
    found = Service(
        chosen.name,
        title,
        options,
        problems,
        tuple(engines),
        chosen.may_lose,
        (*assumed, *chosen.broken, *converted, *said),
        chosen.routers,
        chosen.may_lose_of,
        chosen.link,
        chosen.joint_share,
    )
    if found.uneven and options.target in POOL_TARGETS:
        raise ProblemError("--target", f"{options.target}: {_turns(found)}")
    return found


def _turns(service: Service) -> str:
    """Why a router that takes turns among the instances would not send each part its share."""
    said = []
    for role in service.roles:
        engines = service.of_role(role)
        whole = sum(engine.instance.share for engine in engines)
        parts: dict[int, list[Engine]] = {}
        for engine in engines:
            parts.setdefault(engine.instance.pool, []).append(engine)
        sent = [
            f"{sum(one.instance.share for one in part) / whole:.0%} to {len(part)} × TP{part[0].instance.strategy.tensor_parallel}"
            for part in parts.values()
        ]
        if len({engine.instance.share for engine in engines}) > 1:
            said.append(f"the {role} pool is sent {' and '.join(sent)}")
    return (
        f"{'; '.join(said)}, and its router takes turns among instances, whatever they are; use --target kubernetes, in which several "
        "routers share the requests, or parts that are sent as many requests as they have instances (optimizer check --prefill, --decode)"
    )


def _weights(every: Sequence[Launch], roles: Sequence[str]) -> list[int]:
    """Of each instance at its router: the instances of a pool are alike, joint ones are sent their shares."""
    joint = [launch.instance.share for launch, role in zip(every, roles, strict=True) if not role]
    weights = iter(weights_of(joint) if joint else [])
    return [1 if role else next(weights) for role in roles]


def _in_pool(
    commands: tuple[Command, ...], role: str, launch: Launch, options: Options, widest: int, output_tokens: float
) -> tuple[tuple[Command, ...], int | None]:
    """The commands of an instance as one of its pool, and the port that a router is told of it."""
    commander = pool_commander_of(options.engine)
    added, environment = commander.in_pool(role, launch.slot, widest, output_tokens)
    found = tuple(
        replace(one, arguments=(*one.arguments, *added), environment={**one.environment, **environment})
        for one in commands
    )
    told = router_of_pools(options.engine).bootstrap and role == "prefill"
    return found, commander.bootstrap_port(launch.slot) if told else None
