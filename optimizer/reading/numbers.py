"""What was meant by a value that stands where a number is needed."""

from __future__ import annotations

import re

from optimizer.reading.documents import FLOAT


def said_of_number(value: object) -> str:
    """What may have been meant by a value that stands where a number is needed; empty where nothing is known."""
    if isinstance(value, bool):
        return f"a number is needed, and YAML's {str(value).lower()} is none"
    if not isinstance(value, str):
        return ""
    text = value.strip()
    if text.lower() in {"yes", "no", "on", "off", "y", "n"}:
        return f"{text} is a word, not a number"
    if re.fullmatch(r"0[0-9]+", text):
        octal = (
            f", or 0o{text.lstrip('0')} = {int(text, 8)} for an octal number"
            if re.fullmatch(r"0+[1-7][0-7]*", text)
            else ""
        )
        return f"a number has no leading zeros: write {int(text)}{octal}"
    if re.fullmatch(r"[0-9]+(:[0-5]?[0-9])+(\.[0-9]*)?", text):
        return f"minutes and seconds are written as one number, such as {_base_sixty(text):g}"
    plain = text.replace("_", "").replace(",", "").replace(" ", "")
    if FLOAT.fullmatch(plain) and len(plain) < 40:
        return f"write {plain} without quotes" if plain == text else f"write {plain}"
    found = re.fullmatch(r"([-+]?[0-9.]+)\s*[A-Za-z%/]+\S*", text)
    return f"write the number alone, without its unit: {found[1]}" if found and FLOAT.fullmatch(found[1]) else ""


def _base_sixty(text: str) -> float:
    value = 0.0
    for part in text.split(":"):
        value = 60 * value + float(part)
    return value
