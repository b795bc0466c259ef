"""Which catalog model a name means, however a checkpoint of it is called: organisation, ``-Instruct``, a date of release.

What changes the architecture or the weights' format is never dropped from a name: a quantised checkpoint is another checkpoint,
and the refusal says how to state it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from optimizer.catalog.spelling import spelling

ROLE = re.compile(r"[-_. ](instruct|chat|it|hf|base|thinking|\d{4})$")
"""Endings that leave the architecture as it is: how it was tuned, how it is packed, the month of release (0324, 2507)."""
QUANTISED = re.compile(
    r"[-_.](fp8|float8|awq|gptq|int[348]|[348]bit|w[48]a(?:4|8|16)|nvfp4|mxfp4|fp4|gguf|bnb|exl2|hqq|eetq|quantized|static|dynamic|"
    r"block|kv|autoround|marlin|q\d(?:_\w+)*)(?=[-_.]|$)"
)


def bare(name: str) -> str:
    """The name without organisation, role and date, spelled one way."""
    text = name.strip().lower().rsplit("/", 1)[-1].rsplit("--", 1)[-1]
    text = text.removeprefix("meta-")
    while ROLE.search(text):
        text = ROLE.sub("", text)
    return spelling(text)


def _date(name: str) -> str | None:
    found = re.search(r"[-_. ](\d{4})(?=[-_. ]|$)", name)
    return found[1] if found else None


def without_format(name: str) -> str | None:
    """The name without what says that its weights are quantised; None where nothing says so."""
    text = name.strip().lower()
    shorter = QUANTISED.sub("", text)
    return shorter if shorter != text else None


def meant(name: str, known: Mapping[str, Iterable[str]]) -> str | None:
    """The catalog name that a name means; None where none does, or more than one.

    Args:
        name: as a person writes it.
        known: other spellings by catalog name.
    """
    wanted, date = bare(name), _date(name)
    found = set()
    for entry, others in known.items():
        names = (entry, *others)
        dates = {_date(one) for one in names} - {None}
        # A family that is told apart by its dates (Mistral-Small-2409 has 22 billion parameters, 2501 has 24) is not guessed.
        if wanted in {bare(one) for one in names} and (date is None or not dates or date in dates):
            found.add(entry)
    return found.pop() if len(found) == 1 else None
