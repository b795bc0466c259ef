"""systemd units: one for each process of each node, beside the scripts of the shell target, which hold the commands."""

from __future__ import annotations

from optimizer.deployment.limits import STOP_S
from optimizer.deployment.names import service_name
from optimizer.deployment.pool_router import names_of_routers
from optimizer.deployment.service import Service
from optimizer.deployment.shell import SUPERVISE, processes, shell_files
from optimizer.writing.quoting import systemd_text
from optimizer.writing.yaml_text import comment


def systemd_files(service: Service) -> dict[str, str]:
    """File names and contents. Units expect the folder at :func:`folder`."""
    files = shell_files(service)
    for node in service.nodes:
        host = service.host(node)
        for process in processes(service, node):
            started = f"{' '.join(process.supervised)} {process.name} -- bash start-{host}.sh {process.name}"
            name = process.name.removeprefix("run_").replace("_", "-")
            files[f"{service_name(service.name)}-{name}.{host}.service"] = unit(service, name, started)
    for name in names_of_routers(service):
        started = f"--grace {STOP_S} {name} -- bash start-{name}.sh run"
        files[f"{service_name(service.name)}-{name}.service"] = unit(service, name, started)
    return files


def folder(service: Service) -> str:
    """Where the files are expected on every node."""
    return f"/opt/{service_name(service.name)}"


def unit(service: Service, part: str, started: str) -> str:
    """One unit. supervise.py restarts what ends or hangs; systemd keeps supervise.py, and its cgroup knows every process."""
    return f"""\
{comment(service.title)}\
[Unit]
Description={systemd_text(f"{service.name}: {part}")}
Wants=network-online.target
After=network-online.target

[Service]
Type=exec
WorkingDirectory={folder(service)}
# HF_TOKEN, PATH of the engine's environment, NCCL_SOCKET_IFNAME and the like.
EnvironmentFile=-{folder(service)}/environment
ExecStart=/usr/bin/env python3 {SUPERVISE} --echo {started}
Restart=on-failure
RestartSec=10
# 78: given up, with the cause as the last line of the journal.
RestartPreventExitStatus=78
SuccessExitStatus=143 130
KillMode=mixed
TimeoutStopSec={STOP_S + 20}
LimitNOFILE=1048576

[Install]
WantedBy=multi-user.target
"""
