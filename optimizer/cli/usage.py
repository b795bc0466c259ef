"""What is wrong with a command line, in one sentence as every other refusal: the option, its value, and what would be right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from optimizer.cli.asking import DECISIONS

WANTED = {"valid integer": "a whole number", "valid number": "a number", "valid float": "a number"}
"""What was wanted, by the words of the parser."""
_WITHOUT_PROBLEM = frozenset(
    {"catalog", "schema", "model", "import", "detect", "accuracy", "calibrate", "init", "serve"}
)
_FLAGS = {"--" + name.replace("_", "-"): name for name in DECISIONS}


@runtime_checkable
class UsageFault(Protocol):
    """What the option parser raises; its class lies elsewhere from version to version."""

    exit_code: int

    def format_message(self) -> str:
        """What it says."""
        ...

    def show(self) -> None:
        """Print it."""
        ...


def asks_for_help(fault: UsageFault) -> bool:
    """Whether it is no fault but a command without arguments, which prints its help."""
    return "NoArgs" in type(fault).__name__


def sentence(fault: Any, arguments: Sequence[str]) -> str:
    """The fault as ``OPTION: value and what would be right``."""
    said = " ".join(fault.format_message().split())
    option = _option(fault)
    command = f"optimizer {arguments[0]}" if arguments and not arguments[0].startswith("-") else "optimizer"
    if option is not None and "No such option" in said:
        if option in _FLAGS:
            return f"{option}: {command} decides it; optimizer check judges a strategy, and search: in the file says what may be chosen"
        near = f"; did you mean {' or '.join(fault.possibilities)}?" if getattr(fault, "possibilities", None) else ""
        return f"{option}: {command} has no such option{near or f'; {command} --help lists them'}"
    wanted = next((right for words, right in WANTED.items() if words in said), None)
    if option is not None and wanted is not None:
        value = _value(option, arguments)
        return f"{option}: {'what is given' if value is None else repr(value)} is not {wanted}"
    if option is not None and "requires an argument" in said:
        return f"{option}: needs a value; {command} --help says which"
    if "unexpected extra argument" in said:
        said = f"{said[0].lower()}{said[1:]}"
        if arguments and arguments[0] in _WITHOUT_PROBLEM:
            return f"{command}: {said}; {command} --help lists what it takes"
        return f"{command}: takes one {'report' if command.endswith('audit') else 'problem file'}; {said}"
    if option is not None and "Missing" in said:
        return f"{option}: is needed; {command} --help says what it is"
    return f"{option}: {said}" if option is not None and option not in said else said


def _option(fault: Any) -> str | None:
    """The option, or the argument, that a fault is about."""
    name = getattr(fault, "option_name", None)
    if name is not None:
        return str(name)
    param = getattr(fault, "param", None)
    if param is None:
        return None
    options = [one for one in getattr(param, "opts", ()) if one.startswith("--")]
    return options[0] if options else str(getattr(param, "metavar", None) or getattr(param, "name", "")).strip("[]{}")


def _value(option: str, arguments: Sequence[str]) -> str | None:
    """The last value that a command line gives an option."""
    found = None
    for position, one in enumerate(arguments):
        if one == option and position + 1 < len(arguments):
            found = arguments[position + 1]
        elif one.startswith(option + "="):
            found = one[len(option) + 1 :]
    return found
