"""Saved output of ``nvidia-smi -q -x``. It is read as data only: no entities, no external definitions, 16 MiB at most.

Layout: NVIDIA's nvsmi_device_v11.dtd to v13.dtd (drivers 470 to 590). Fields that a driver does not know read ``N/A``.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

from optimizer.detect.machine import BROKEN_WORDS, MIG, SeenGpu, Slice, busy_words
from optimizer.facts.errors import ProblemError
from optimizer.reading import files

MOST_GPUS = 64
LOST = re.compile(
    r"Unable to determine the device handle for (?:GPU\d+: |GPU\s?)([0-9A-Fa-f]+:[0-9A-Fa-f:.]+): ([^\n]*)"
)
NO_DRIVER = re.compile(r"(NVIDIA-SMI has failed[^\n]*|No devices were found|Failed to initialize NVML[^\n]*)")
YES_MEANS_BROKEN = {
    "remapped_rows/remapped_row_failure": "a memory row could not be remapped",
    "remapped_rows/remapped_row_pending": "a memory row waits for remapping; the GPU needs a reset",
    "retired_pages/pending_retirement": "a memory page waits for retirement; the GPU needs a reset",
    "retired_pages/pending_blacklist": "a memory page waits for retirement; the GPU needs a reset",
    "ecc_errors/unrepairable_memory": "its memory cannot be repaired",
    "ecc_errors/channel_repair_pending": "a memory channel waits for repair; the GPU needs a reset",
    "ecc_errors/tpc_repair_pending": "a processor cluster waits for repair; the GPU needs a reset",
    "ecc_errors/aggregate/sram_threshold_exceeded": "more on-chip memory errors than its maker accepts",
    "gpu_reset_status/reset_required": "the driver asks for a reset",
    "gpu_reset_status/drain_and_reset_recommended": "the driver recommends to drain and reset it",
}
"""Where nvidia-smi answers Yes or No, and what Yes means for whoever plans with the GPU."""
SETTLED = {"", "n/a", "[n/a]", "none", "not supported"}
NO_FABRIC = {"", "n/a", "0", "00000000-0000-0000-0000-000000000000"}


def read_text(path: str, field: str) -> str:
    """A saved output.

    Raises:
        ProblemError: missing, not readable, not text, or larger than any such output.
    """
    return files.read_text(Path(path), f"{field} {path}", what="output of nvidia-smi")


def parse_smi(text: str, source: str, field: str = "--smi") -> tuple[tuple[SeenGpu, ...], tuple[str, ...]]:
    """(GPUs in their order, reasons of GPUs that could not be reached) of one host.

    Raises:
        ProblemError: this is not the output of ``nvidia-smi -q -x``, or a value in it cannot be true.
    """
    lost = tuple(f"GPU {bus} cannot be reached: {why.strip()}" for bus, why in LOST.findall(text))
    root = _root(text, source, field, lost)
    elements = root.findall("gpu")
    if len(elements) > MOST_GPUS:
        raise ProblemError(field, f"{source} describes {len(elements)} GPUs; hosts have at most {MOST_GPUS}")
    gpus = tuple(_gpu(element, index, source, field) for index, element in enumerate(elements))
    if not gpus:
        raise ProblemError(field, f"{source} describes no GPU. {' '.join(lost)}".rstrip())
    attached = _number(root, "attached_gpus")
    if attached is not None and attached > MOST_GPUS:
        raise ProblemError(field, f"{source} says attached_gpus {attached}; hosts have at most {MOST_GPUS}")
    missing = (attached or 0) - len(gpus) - len(lost)
    lost += ("not described in the output, although attached_gpus counts it",) * max(0, missing)
    return gpus, lost


def _root(text: str, source: str, field: str, lost: tuple[str, ...]) -> ET.Element:
    wanted = f"{source} is not the output of nvidia-smi -q -x"
    start = min((at for at in (text.find("<?xml"), text.find("<nvidia_smi_log")) if at >= 0), default=-1)
    if start < 0:
        said = NO_DRIVER.search(text)
        reasons = [said.group(1)] if said else list(lost)
        raise ProblemError(field, f"{wanted}: {'; '.join(reasons) or 'it holds no XML'}")
    end = text.rfind("</nvidia_smi_log>")
    if end < start:
        raise ProblemError(field, f"{wanted}: it breaks off before </nvidia_smi_log>")
    document = text[start : end + len("</nvidia_smi_log>")]
    if re.search(r"<!ENTITY|<!DOCTYPE[^>]*\[", document, re.IGNORECASE):
        raise ProblemError(field, f"{wanted}: it defines XML entities, which nvidia-smi never does")
    try:
        root = ET.fromstring(document)
    except (ET.ParseError, ValueError, RecursionError) as error:
        raise ProblemError(field, f"{wanted}: {error}") from None
    if root.tag != "nvidia_smi_log":
        raise ProblemError(field, f"{wanted}: it starts with <{root.tag[:40]}> instead of <nvidia_smi_log>")
    return root


def _gpu(element: ET.Element, index: int, source: str, field: str) -> SeenGpu:
    faults = _faults(element)
    memory = _number(element, "fb_memory_usage/total")
    used = _number(element, "fb_memory_usage/used")
    if memory is None or used is None:
        faults.append("its memory cannot be read")
    elif not 0 <= used <= memory or not 0 < memory <= 16 * 1024 * 1024:
        raise ProblemError(field, f"{source}, GPU {index}: {used:,} MiB of {memory:,} MiB in use cannot be")
    processes = element.findall("processes/process_info")
    computing = [one for one in processes if "C" in _text(one, "type").upper()]
    busy = busy_words(used or 0, len(computing))
    if _text(element, "mig_mode/current_mig") == "Enabled":
        busy += (MIG,)
    return SeenGpu(
        index=index,
        product=_text(element, "product_name"),
        architecture=_text(element, "product_architecture"),
        uuid=_text(element, "uuid"),
        memory_mib=memory or 0,
        pcie_generation=_number(element, "pci/pci_gpu_link_info/pcie_gen/max_link_gen"),
        pcie_lanes=_number(element, "pci/pci_gpu_link_info/link_widths/current_link_width"),
        fabric=_fabric(element),
        busy=busy,
        used_mib=used or 0,
        computing=len(computing),
        faults=tuple(dict.fromkeys(faults)),
        slices=_slices(element, computing),
    )


def _slices(element: ET.Element, computing: list[ET.Element]) -> tuple[Slice, ...]:
    """MIG slices with their own memory; a slice with several compute instances counts as one."""
    found: dict[str, Slice] = {}
    for device in element.findall("mig_devices/mig_device"):
        instance = _text(device, "gpu_instance_id")
        inside = [one for one in computing if _text(one, "gpu_instance_id") == instance]
        found[instance] = Slice(
            profile="",
            memory_mib=_number(device, "fb_memory_usage/total") or 0,
            processors=_number(device, "device_attributes/shared/multiprocessor_count") or 0,
            used_mib=_number(device, "fb_memory_usage/used") or 0,
            computing=len(inside),
        )
    return tuple(found.values())


def _faults(element: ET.Element) -> list[str]:
    found = []
    for part in element.iter():
        if part.text and BROKEN_WORDS.search(part.text):
            found.append(f"{part.tag} reads {part.text.strip()[:60]!r}")
            break
    for path, words in YES_MEANS_BROKEN.items():
        if _text(element, path).lower() == "yes":
            found.append(words)
    errors = element.find("ecc_errors/volatile")
    for part in errors.iter() if errors is not None else ():
        count = _leading_number(part.text)
        uncorrectable = "uncorrectable" in part.tag or (part.tag == "total" and _is_double(errors, part))
        if count and uncorrectable:
            found.append(f"{count:,} uncorrectable memory errors since the last reset ({part.tag})")
    action = _text(element, "gpu_recovery_action")
    if action.lower() not in SETTLED:
        found.append(f"the driver asks for: {action}")
    state = _text(element, "fabric/state")
    if state.lower() not in SETTLED | {"completed", "not started"}:
        found.append(f"its NVLink fabric is not up: {state}")
    return found


def _is_double(errors: ET.Element | None, part: ET.Element) -> bool:
    """Older drivers count uncorrectable errors under double_bit."""
    double = errors.find("double_bit") if errors is not None else None
    return double is not None and part in list(double)


def _fabric(element: ET.Element) -> str:
    cluster, clique = _text(element, "fabric/clusterUuid"), _text(element, "fabric/cliqueId")
    return "" if cluster.lower() in NO_FABRIC else f"{cluster}/{clique}"


def _text(element: ET.Element, path: str) -> str:
    return (element.findtext(path) or "").strip()


def _number(element: ET.Element, path: str) -> int | None:
    return _leading_number(element.findtext(path))


def _leading_number(text: str | None) -> int | None:
    """The number before a unit, as in ``81559 MiB`` and ``16x``; None for N/A."""
    found = re.match(r"\s*(\d{1,12})\b|\s*(\d{1,4})x", text or "")
    return int(found.group(1) or found.group(2)) if found else None
