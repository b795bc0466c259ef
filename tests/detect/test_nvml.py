"""NVML as the host's own answers, with a stand-in for the library: the same facts as from saved output."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from optimizer.detect.hardware import parts_of
from optimizer.detect.inventory import detected
from optimizer.detect.nvml import this_host
from optimizer.facts.errors import ProblemError

MIB = 1024 * 1024


class NvmlError(Exception):
    """What pynvml raises."""


class FakeNvml:
    """Two pairs of H100 behind a switch (``switched``) or bridged in pairs; GPU 3 is lost if so told."""

    NVMLError = NvmlError
    NVML_MEMORY_ERROR_TYPE_UNCORRECTED, NVML_VOLATILE_ECC = 1, 0

    def __init__(self, *, switched: bool, lost: bool = False) -> None:
        self.switched, self.lost, self.open = switched, lost, False

    def nvmlInit(self) -> None:
        self.open = True

    def nvmlShutdown(self) -> None:
        self.open = False

    def nvmlDeviceGetCount(self) -> int:
        return 4

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        if self.lost and index == 3:
            raise NvmlError("GPU is lost")
        return index

    def nvmlDeviceGetName(self, handle: int) -> bytes:
        return b"NVIDIA H100 80GB HBM3" if self.switched else b"NVIDIA H100 PCIe"

    def nvmlDeviceGetUUID(self, handle: int) -> str:
        return f"GPU-{handle}"

    def nvmlDeviceGetArchitecture(self, handle: int) -> int:
        return 9

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> Any:
        return SimpleNamespace(total=81559 * MIB, used=(60_000 if handle == 1 else 1) * MIB)

    def nvmlDeviceGetComputeRunningProcesses(self, handle: int) -> list[int]:
        return [1] if handle == 1 else []

    def nvmlDeviceGetMigMode(self, handle: int) -> tuple[int, int]:
        raise NvmlError("Not Supported")

    def nvmlDeviceGetTotalEccErrors(self, handle: int, kind: int, counter: int) -> int:
        return 4 if handle == 2 else 0

    def nvmlDeviceGetRemappedRows(self, handle: int) -> tuple[int, int, int, int]:
        return (0, 0, 0, 0)

    def nvmlDeviceGetMaxPcieLinkGeneration(self, handle: int) -> int:
        return 5

    def nvmlDeviceGetCurrPcieLinkWidth(self, handle: int) -> int:
        return 16

    def nvmlDeviceGetPciInfo(self, handle: int) -> Any:
        return SimpleNamespace(busId=f"00000000:{handle}A:00.0".encode())

    def nvmlDeviceGetNvLinkState(self, handle: int, link: int) -> int:
        if link >= (18 if self.switched else 12):
            raise NvmlError("Invalid Argument")
        return 1

    def nvmlDeviceGetNvLinkRemoteDeviceType(self, handle: int, link: int) -> int:
        return 2 if self.switched else 0

    def nvmlDeviceGetNvLinkRemotePciInfo(self, handle: int, link: int) -> Any:
        return self.nvmlDeviceGetPciInfo(handle ^ 1)

    def nvmlDeviceGetTopologyCommonAncestor(self, first: int, second: int) -> int:
        return 50


def use(monkeypatch: pytest.MonkeyPatch, library: Any) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", library)


def test_a_switch_joins_all_and_reasons_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeNvml(switched=True)
    use(monkeypatch, fake)
    host = this_host()
    assert not fake.open and set(host.links.values()) == {"NV18"}
    [group] = detected(parts_of([host], busy_counts=True), None).values["cluster"]
    assert (group["gpu"], group["free_gpus"], group["nvlink_domain_gpus"]) == ("h100-sxm-80gb", 2, 4)
    assert host.gpus[1].busy and "4 uncorrectable memory errors" in host.gpus[2].faults[0]


def test_bridges_join_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, FakeNvml(switched=False))
    host = this_host()
    assert host.links[0, 1] == "NV12" and host.links[1, 2] == "SYS"
    [group] = detected(parts_of([host], busy_counts=False), None).values["cluster"]
    assert (group["nvlink_domain_gpus"], group["nvlink_gb_per_s"], group["free_gpus"]) == (2, 600, 3)


class Split(FakeNvml):
    """The first GPU is in two halves, the others are whole."""

    def nvmlDeviceGetMigMode(self, handle: int) -> tuple[int, int]:
        return (int(handle == 0), 0)

    def nvmlDeviceGetMaxMigDeviceCount(self, handle: int) -> int:
        return 7

    def nvmlDeviceGetMigDeviceHandleByIndex(self, handle: int, place: int) -> int:
        if place > 1:
            raise NvmlError("Not Found")
        return 100 + place

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> Any:
        return (
            SimpleNamespace(total=40448 * MIB, used=12 * MIB)
            if handle >= 100
            else super().nvmlDeviceGetMemoryInfo(handle)
        )

    def nvmlDeviceGetAttributes(self, handle: int) -> Any:
        return SimpleNamespace(multiprocessorCount=60)


def test_slices_are_cards_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, Split(switched=True))
    parts = parts_of([this_host()], busy_counts=True)
    assert {part.gpu: len(part.free) for part in parts}["h100-sxm-80gb-mig-3g.40gb"] == 2


def test_a_lost_gpu_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, FakeNvml(switched=True, lost=True))
    host = this_host()
    assert len(host.gpus) == 3 and host.lost == ("GPU 3 cannot be reached: GPU is lost",)


def test_without_package_or_driver_the_next_step_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, None)
    with pytest.raises(ProblemError, match=r"nvidia-ml-py.*--smi and --topo"):
        this_host()
    fake = FakeNvml(switched=True)
    monkeypatch.setattr(fake, "nvmlInit", lambda: (_ for _ in ()).throw(NvmlError("Driver Not Loaded")))
    use(monkeypatch, fake)
    with pytest.raises(ProblemError, match=r"Driver Not Loaded.*--smi and --topo"):
        this_host()


def test_the_real_library_has_what_is_asked() -> None:
    nvml = pytest.importorskip("pynvml", reason="needs nvidia-ml-py (extra [detect])")
    for name in [name for name in dir(Split) if name.startswith(("nvml", "NVML"))]:
        assert hasattr(nvml, name), name
