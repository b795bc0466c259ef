"""Figures as people write them in three languages: value, dimension, and what rounding leaves open."""

from __future__ import annotations

import pytest

from optimizer.auditing.measures import measures

GB = 1e9
CASES = [
    ("Twelve requests per second", "en", [(12.0, "requests/s")]),
    ("400 Gbit/s, which is 50 GB/s", "en", [(50 * GB, "bytes/s"), (50 * GB, "bytes/s")]),
    ("3.35 TB/s and 128 KiB", "en", [(3.35e12, "bytes/s"), (131072.0, "bytes")]),
    ("23,35 GB je GPU, 32.768 Token", "de", [(23.35 * GB, "bytes"), (32768.0, "")]),
    ("1.800 Token/s bei 46,7 Milliarden", "de", [(1800.0, "tokens/s"), (46.7e9, "")]),
    ("160 Kio, 900 Go/s et 131 072 jetons", "fr", [(163840.0, "bytes"), (900 * GB, "bytes/s"), (131072.0, "")]),
    ("1 200 ms, 23,6 milliards", "fr", [(1200.0, "ms"), (23.6e9, "")]),
    ("989 TFLOPS, 2 PFLOPS", "en", [(989e12, "FLOP/s"), (2e15, "FLOP/s")]),
    ("a 4,096-token conversation of 70.6B parameters", "en", [(4096.0, ""), (70.6e9, "")]),
    ("3,600 requests per hour", "en", [(1.0, "requests/s")]),
    ("22.5% below 4 s", "en", [(22.5, "%"), (4000.0, "ms")]),
]
NO_FIGURES = [
    "Llama-3 on 14 March 2026",
    "Stand 02.02.2026",
    "see section 4 and table 2",
    "PCIe Gen5, NVLink 4.0",
    "27.6 ± 0.91",
]


@pytest.mark.parametrize(("text", "language", "expected"), CASES)
def test_values_and_dimensions(text: str, language: str, expected: list[tuple[float, str]]) -> None:
    found = [(one.value, one.dimension) for one in measures(text, language)]
    assert [dimension for _, dimension in found] == [dimension for _, dimension in expected]
    assert [value for value, _ in found] == pytest.approx([value for value, _ in expected])


@pytest.mark.parametrize("text", NO_FIGURES)
def test_names_dates_and_deviations_are_no_figures(text: str) -> None:
    assert [one.text for one in measures(text, "en")] in ([], ["27.6"])


def test_rounding_is_the_tolerance() -> None:
    (said,) = measures("95 ms")
    assert said.says(94.6) and said.says(95.4) and not said.says(96.2) and not said.says(93.9)
    (whole,) = measures("1 GiB")
    assert whole.says(1.2 * 2**30) and not whole.says(0.5 * 2**30)
