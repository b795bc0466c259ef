"""Numbers that are written as words, in three languages."""

from __future__ import annotations

import re

NUMBER_WORDS = {
    "zero": 0, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10,
    "eleven": 11, "twelve": 12, "thirteen": 13, "fourteen": 14, "fifteen": 15, "sixteen": 16, "eighteen": 18, "twenty": 20,
    "twenty-four": 24, "thirty": 30, "thirty-two": 32, "forty": 40, "forty-eight": 48, "fifty": 50, "sixty": 60,
    "sixty-four": 64, "eighty": 80, "ninety": 90, "hundred": 100, "single": 1, "pair": 2, "dozen": 12, "both": 2,
    "eins": 1, "zwei": 2, "drei": 3, "vier": 4, "fünf": 5, "sechs": 6, "sieben": 7, "acht": 8, "neun": 9, "zehn": 10,
    "elf": 11, "zwölf": 12, "dreizehn": 13, "vierzehn": 14, "sechzehn": 16, "zwanzig": 20, "vierundzwanzig": 24,
    "dreißig": 30, "zweiunddreißig": 32, "vierzig": 40, "fünfzig": 50, "sechzig": 60, "vierundsechzig": 64, "achtzig": 80,
    "hundert": 100, "thousand": 1000, "tausend": 1000, "mille": 1000, "beide": 2, "beiden": 2,
    "deux": 2, "trois": 3, "quatre": 4, "cinq": 5, "sept": 7, "huit": 8, "neuf": 9, "dix": 10, "onze": 11, "douze": 12,
    "treize": 13, "quatorze": 14, "quinze": 15, "seize": 16, "vingt": 20, "vingt-quatre": 24, "trente": 30,
    "trente-deux": 32, "quarante": 40, "quarante-huit": 48, "cinquante": 50, "soixante": 60, "soixante-quatre": 64,
    "quatre-vingts": 80, "cent": 100,
}  # fmt: skip

NUMBER_WORD = "|".join(sorted(map(re.escape, NUMBER_WORDS), key=len, reverse=True))
"""Any of them, as alternatives of a regular expression: the longest first."""


def count_of(said: str, otherwise: int = 0) -> int:
    """The whole number that digits or a word say; ``otherwise`` where it is neither."""
    return int(said) if said.isdigit() else NUMBER_WORDS.get(said.lower(), otherwise)
