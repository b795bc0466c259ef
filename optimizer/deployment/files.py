"""From a placement to files: names and contents, nothing written."""

from __future__ import annotations

from optimizer.deployment.chosen import Chosen
from optimizer.deployment.compose import compose_files
from optimizer.deployment.dynamo import dynamo_files
from optimizer.deployment.kubernetes import kubernetes_files
from optimizer.deployment.llm_d import llm_d_files
from optimizer.deployment.options import Options
from optimizer.deployment.readme import readme
from optimizer.deployment.service import Service, build_service
from optimizer.deployment.shell import shell_files
from optimizer.deployment.slurm import slurm_files
from optimizer.deployment.systemd import systemd_files

_TARGETS = {
    "shell": shell_files,
    "ray": shell_files,
    "kubernetes": kubernetes_files,
    "compose": compose_files,
    "systemd": systemd_files,
    "slurm": slurm_files,
    "llm-d": llm_d_files,
    "dynamo": dynamo_files,
}


def launch_files(chosen: Chosen, options: Options, title: str) -> dict[str, str]:
    """Every file of a deployment, by name.

    Args:
        title: one line for the head of every file.

    Raises:
        ProblemError: the engine cannot run a strategy, or a target cannot express the placement.
    """
    return files_of_service(build_service(chosen, options, title))


def files_of_service(service: Service) -> dict[str, str]:
    """Every file of a service that is built, by name.

    Raises:
        ProblemError: the target cannot express the placement.
    """
    return {**_TARGETS[service.options.target](service), "README.md": readme(service)}
