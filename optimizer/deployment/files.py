"""From a placement to files: names and contents, nothing written."""

from __future__ import annotations

from collections.abc import Sequence

from optimizer.deployment.compose import compose_files
from optimizer.deployment.kubernetes import kubernetes_files
from optimizer.deployment.options import Options
from optimizer.deployment.readme import readme
from optimizer.deployment.service import Service, build_service
from optimizer.deployment.shell import shell_files
from optimizer.deployment.slurm import slurm_files
from optimizer.deployment.systemd import systemd_files
from optimizer.facts.problem import Problem
from optimizer.results.placement import Placement

_TARGETS = {
    "shell": shell_files,
    "ray": shell_files,
    "kubernetes": kubernetes_files,
    "compose": compose_files,
    "systemd": systemd_files,
    "slurm": slurm_files,
}


def launch_files(
    problems: Sequence[Sequence[Problem]],
    placement: Placement,
    options: Options,
    *,
    title: str,
    may_lose: int,
    notes: tuple[str, ...] = (),
    name: str | None = None,
    routers: int = 2,
) -> dict[str, str]:
    """Every file of a deployment, by name.

    Args:
        problems: the homogeneous problem of each pool's stages, by ``PlacedInstance.pool``.
        title: one line for the head of every file.
        may_lose: instances that may be away at once, from ``survive``.
        notes: whole sentences for the README, before those of the engines.
        name: of the service; left out, the first problem's.
        routers: nodes that get a router where there are several instances.

    Raises:
        ProblemError: the engine cannot run a strategy, or a target cannot express the placement.
    """
    service = build_service(
        problems, placement, options, name=name, title=title, may_lose=may_lose, notes=notes, routers=routers
    )
    return files_of_service(service)


def files_of_service(service: Service) -> dict[str, str]:
    """Every file of a service that is built, by name.

    Raises:
        ProblemError: the target cannot express the placement.
    """
    return {**_TARGETS[service.options.target](service), "README.md": readme(service)}
