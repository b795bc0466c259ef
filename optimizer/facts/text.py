"""Text that a person chose: what a name may hold, and how input is repeated in messages.

A name goes into answers, file heads, labels and pictures. What no name needs and a reader cannot see (control characters, line
breaks, marks that turn the direction of writing) is refused where it is stated; everything else is quoted where it is written
(``optimizer.writing.quoting``).
"""

from __future__ import annotations

import re

LONGEST_NAME = 200
LONGEST_SHOWN = 100
"""Characters of one value, quoted in a message."""
LONGEST_MESSAGE = 2_000

# C0 and C1 controls, line and paragraph separators, direction marks (Unicode 17, UAX 9), halves of surrogate pairs,
# annotation marks, the byte-order mark, code points that XML forbids, and tag characters.
_UNSEEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufeff\ufff9-\ufffb\ufffe\uffff"
    "\U000e0000-\U000e007f]"
)
_QUOTED = re.compile(r"(?<!\w)'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"")
"""A quoted value; the apostrophe of a possessive begins none."""
_WORD = re.compile(rf"\S{{{LONGEST_SHOWN + 1},}}")


def name_of(text: str, longest: int = LONGEST_NAME) -> str:
    """A name as stated, without the white space around it.

    Raises:
        ValueError: it is empty, longer than ``longest`` characters, or holds a character that cannot be seen.
    """
    name = text.strip(" \t\r\n")
    found = _UNSEEN.search(name)
    if found:
        at = f"U+{ord(found[0]):04X} at character {found.start() + 1}"
        raise ValueError(f"{shown(name)} holds {at}; a name has no line breaks, control or direction characters")
    if not name:
        raise ValueError("is empty; write a name, or leave it out")
    if len(name) > longest:
        raise ValueError(f"{shown(name)} has {len(name):,} characters; at most {longest:,} are allowed")
    return name


def sentence_of(text: str) -> str:
    """A remark as one line: line breaks of a block text become spaces.

    Raises:
        ValueError: it holds a character that cannot be seen.
    """
    line = " ".join(text.split())
    found = _UNSEEN.search(line)
    if found:
        raise ValueError(f"{shown(line)} holds U+{ord(found[0]):04X}, which cannot be seen")
    return line


def starting(text: str) -> str:
    """A text as a sentence begins; names that are written in small letters first (vLLM) stay as they are."""
    first = text.split(" ", 1)[0]
    return text if any(letter.isupper() for letter in first) else text[:1].upper() + text[1:]


def name_from_path(text: str, otherwise: str) -> str:
    """A name made from a file's: what no name may hold becomes ``_``, since a file is not renamed for our sake."""
    return _UNSEEN.sub("_", text).strip()[:LONGEST_NAME] or otherwise


def visible(text: str) -> str:
    """One line that can be seen: what cannot becomes its escape, such as ``\\x1b``."""
    return _UNSEEN.sub(lambda found: found[0].encode("unicode_escape", "backslashreplace").decode("ascii"), text)


def shown(value: object) -> str:
    """A value as a message repeats it: quoted where it is text, and cut."""
    text = repr(value[: 2 * LONGEST_SHOWN] if isinstance(value, str) else value)
    if len(text) <= LONGEST_SHOWN:
        return text
    cut = text[: LONGEST_SHOWN - 1]
    # What is cut open would take what a message says after it along when long brackets are left out of it.
    return f"{cut}…{'' if isinstance(value, str) else _closing(cut)}"


def _closing(text: str) -> str:
    """The brackets that close what a text opens."""
    wanted = {"(": ")", "[": "]", "{": "}"}
    left: list[str] = []
    for sign in text:
        if sign in wanted:
            left.append(wanted[sign])
        elif left and sign == left[-1]:
            left.pop()
    return "".join(reversed(left))


def shortened(message: str) -> str:
    """A message in which no quoted value, list, mapping or word is longer than ``LONGEST_SHOWN``, on one line."""
    text = visible(message[: 50 * LONGEST_MESSAGE])
    if len(text) > LONGEST_SHOWN:
        text = _without_long_brackets(_QUOTED.sub(lambda found: _cut(found[0]), text))
        text = _WORD.sub(lambda found: _cut(found[0]), text)
    return text if len(text) <= LONGEST_MESSAGE else f"{text[:LONGEST_MESSAGE]}…"


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_SHOWN else f"{text[: LONGEST_SHOWN - 2]}…{text[-1]}"


def _without_long_brackets(text: str) -> str:
    """Lists and mappings as Python writes them, each cut; one that does not end is cut as well."""
    pieces: list[str] = []
    depth, start, end = 0, 0, 0
    for found in re.finditer(r"[\[\]{}]", text):
        if found[0] in "[{":
            if depth == 0:
                start = found.start()
            depth += 1
        elif depth:
            depth -= 1
            if depth == 0:
                pieces += [text[end:start], _cut(text[start : found.end()])]
                end = found.end()
    rest = text[end:]
    return "".join(pieces) + (rest if depth == 0 else rest[: start - end] + _cut(text[start:]))
