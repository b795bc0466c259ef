"""YAML as it is written: by a library, and so that readers of YAML 1.1 and 1.2 alike read back what was meant."""

from __future__ import annotations

import re
from typing import Any

from optimizer.facts.text import visible

# Plain text that PyYAML, which goes by version 1.1, leaves without quotes, and that version 1.2 takes for a number: 1e3, 0o17.
_LIKE_A_NUMBER = re.compile(r"[-+.]?[0-9][0-9A-Za-z_.:+-]*|[-+]?\.[A-Za-z]+")


_OTHER_BREAK = re.compile("[\x85\u2028\u2029]")


def yaml_text(*documents: Any, title: str = "", flow: bool | None = False, width: int = 100) -> str:
    """The documents one after another, keys in the order given, under a comment of one line.

    Args:
        title: the comment; none when left out.
        flow: as PyYAML's ``default_flow_style``; None: the innermost lists and mappings on one line.
    """
    import yaml

    # Repeats what is equal instead of pointing at it: people edit these files.
    plain: Any = type("Plain", (yaml.SafeDumper,), {"ignore_aliases": lambda self, data: True})

    def text(dumper: Any, value: str) -> Any:
        style = (
            '"'
            if _OTHER_BREAK.search(value)
            else "|"
            if "\n" in value
            else "'"
            if _LIKE_A_NUMBER.fullmatch(value)
            else None
        )
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)

    plain.add_representer(str, text)
    found: str = yaml.dump_all(
        documents, Dumper=plain, sort_keys=False, allow_unicode=True, width=width, default_flow_style=flow
    )
    return f"{comment(title)}{found}" if title else found


def comment(text: str) -> str:
    """A comment of one line, whatever the text holds; the form of YAML, shells, nginx and systemd alike."""
    return f"# {visible(text)}\n"
