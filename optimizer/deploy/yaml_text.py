"""YAML documents with a comment on top."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def yaml_text(title: str, documents: Sequence[Any]) -> str:
    """The documents one after another, keys in the order given."""
    import yaml

    # Repeats what is equal instead of pointing at it: people edit these files.
    plain: Any = type("Plain", (yaml.SafeDumper,), {"ignore_aliases": lambda self, data: True})

    def literal(dumper: Any, value: str) -> Any:
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)

    plain.add_representer(str, literal)
    text = yaml.dump_all(documents, Dumper=plain, sort_keys=False, allow_unicode=True, width=100)
    return f"# {title}\n{text}"
