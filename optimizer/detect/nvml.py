"""This host through NVML (package nvidia-ml-py, extra ``[detect]``)."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from optimizer.detect.machine import MIG, Pair, SeenGpu, SeenHost, Slice, busy_words
from optimizer.facts.errors import ProblemError

INSTEAD = "or save nvidia-smi -q -x and nvidia-smi topo -m on each host and give them with --smi and --topo"
MOST_LINKS = 36
ARCHITECTURES = {5: "Volta", 6: "Turing", 7: "Ampere", 8: "Ada Lovelace", 9: "Hopper", 10: "Blackwell"}
"""NVML_DEVICE_ARCH_* of nvml.h."""
ANCESTORS = {0: "PIX", 10: "PIX", 20: "PXB", 30: "PHB", 40: "NODE", 50: "SYS"}
"""NVML_TOPOLOGY_* of nvml.h; two GPUs of one board share its bridge."""
SWITCH = 2
"""NVML_NVLINK_DEVICE_TYPE_SWITCH."""


def this_host() -> SeenHost:
    """What NVML says about the machine this runs on.

    Raises:
        ProblemError: the package or the driver is missing, or there is no NVIDIA GPU.
    """
    try:
        import pynvml as nvml
    except ImportError:
        raise ProblemError(
            "detect",
            f"needs the package nvidia-ml-py (pip install 'parallel-strategy-optimizer[detect]'), {INSTEAD}",
        ) from None
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        raise ProblemError(
            "detect", f"NVML does not answer here ({error}); run it on a host with GPUs, {INSTEAD}"
        ) from None
    try:
        return _host(nvml)
    except nvml.NVMLError as error:
        raise ProblemError("detect", f"NVML failed on this host ({error}), {INSTEAD}") from None
    finally:
        nvml.nvmlShutdown()


def _host(nvml: Any) -> SeenHost:
    handles, gpus, lost = [], [], []
    for index in range(nvml.nvmlDeviceGetCount()):
        try:
            handle = nvml.nvmlDeviceGetHandleByIndex(index)
            gpus.append(_gpu(nvml, handle, index))
            handles.append(handle)
        except nvml.NVMLError as error:
            lost.append(f"GPU {index} cannot be reached: {error}")
    if not gpus:
        raise ProblemError("detect", f"NVML sees no usable GPU on this host. {' '.join(lost)}".rstrip())
    return SeenHost(socket.gethostname(), tuple(gpus), _links(nvml, handles), tuple(lost))


def _gpu(nvml: Any, handle: Any, index: int) -> SeenGpu:
    def ask(question: Callable[..., Any], *arguments: Any) -> Any:
        """None where this GPU or driver does not know."""
        try:
            return question(handle, *arguments)
        except nvml.NVMLError:
            return None

    memory = nvml.nvmlDeviceGetMemoryInfo(handle)
    mib = 1024 * 1024
    processes = ask(nvml.nvmlDeviceGetComputeRunningProcesses) or ()
    busy = busy_words(memory.used // mib, len(processes))
    mig = ask(nvml.nvmlDeviceGetMigMode)
    slices: tuple[Slice, ...] = ()
    if mig is not None and mig[0]:
        busy += (MIG,)
        slices = _slices(nvml, handle, int(ask(nvml.nvmlDeviceGetMaxMigDeviceCount) or 0))
    faults = []
    errors = ask(nvml.nvmlDeviceGetTotalEccErrors, nvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, nvml.NVML_VOLATILE_ECC)
    if errors:
        faults.append(f"{errors:,} uncorrectable memory errors since the last reset")
    rows = ask(nvml.nvmlDeviceGetRemappedRows)
    if rows is not None:
        _, _, pending, failed = rows
        faults += ["a memory row could not be remapped"] if failed else []
        faults += ["a memory row waits for remapping; the GPU needs a reset"] if pending else []
    return SeenGpu(
        index=index,
        product=_words(nvml.nvmlDeviceGetName(handle)),
        architecture=ARCHITECTURES.get(ask(nvml.nvmlDeviceGetArchitecture) or 0, ""),
        uuid=_words(nvml.nvmlDeviceGetUUID(handle)),
        memory_mib=memory.total // mib,
        pcie_generation=ask(nvml.nvmlDeviceGetMaxPcieLinkGeneration),
        pcie_lanes=ask(nvml.nvmlDeviceGetCurrPcieLinkWidth),
        fabric="",
        busy=busy,
        used_mib=memory.used // mib,
        computing=len(processes),
        faults=tuple(faults),
        slices=slices,
    )


def _slices(nvml: Any, handle: Any, most: int) -> tuple[Slice, ...]:
    """The MIG devices of a GPU; places that are not taken answer with an error."""
    found: list[Slice] = []
    for place in range(most):
        try:
            device = nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, place)
            memory, has = nvml.nvmlDeviceGetMemoryInfo(device), nvml.nvmlDeviceGetAttributes(device)
            processes = nvml.nvmlDeviceGetComputeRunningProcesses(device)
        except nvml.NVMLError:
            continue
        mib = 1024 * 1024
        found.append(Slice("", "", memory.total // mib, has.multiprocessorCount, memory.used // mib, len(processes)))
    return tuple(found)


def _links(nvml: Any, handles: list[Any]) -> dict[Pair, str]:
    ends = [_nvlink_ends(nvml, handle) for handle in handles]
    buses = [_words(nvml.nvmlDeviceGetPciInfo(handle).busId).lower() for handle in handles]
    links: dict[Pair, str] = {}
    for a, first in enumerate(handles):
        for b, second in enumerate(handles):
            if a == b:
                continue
            count = ends[a].count(buses[b]) or min(ends[a].count("switch"), ends[b].count("switch"))
            if count:
                links[a, b] = f"NV{count}"
            else:
                links[a, b] = ANCESTORS.get(int(nvml.nvmlDeviceGetTopologyCommonAncestor(first, second)), "SYS")
    return links


def _nvlink_ends(nvml: Any, handle: Any) -> list[str]:
    """The bus of the GPU at the other end of each active NVLink, or ``switch``."""
    found = []
    for link in range(MOST_LINKS):
        try:
            if not nvml.nvmlDeviceGetNvLinkState(handle, link):
                continue
            if nvml.nvmlDeviceGetNvLinkRemoteDeviceType(handle, link) == SWITCH:
                found.append("switch")
            else:
                found.append(_words(nvml.nvmlDeviceGetNvLinkRemotePciInfo(handle, link).busId).lower())
        except nvml.NVMLError:
            # Past the last link of this GPU, or without NVLink at all.
            continue
    return found


def _words(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
