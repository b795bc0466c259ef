#!/usr/bin/env python3
"""Measure this machine's GPUs and write them as the hardware section of a problem file.

Usage: python scripts/profile_gpu.py [--model llama3.1-8b] [--out my-gpu.yaml] [--device cuda|cpu] [--toy]

Needs PyTorch (pip install torch) and takes minutes: matrix products over the shapes of a model's layers, memory copies, decode
attention, kernel launches, and all-reduce where there are several GPUs. --toy measures next to nothing in seconds, to see that
it runs; on a CPU that is all there is. Exit status: 0; 2 if there is no PyTorch, no GPU or no such model.
"""

from __future__ import annotations

import argparse
import sys
from datetime import date
from pathlib import Path

from optimizer.catalog import lookup as catalog
from optimizer.facts.errors import ProblemError
from optimizer.facts.model import ModelFacts
from optimizer.writing.files import write_file
from profiling.entry import as_yaml


def main(arguments: list[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="llama3.1-8b", help="catalog model whose layers' shapes are measured")
    parser.add_argument(
        "--out", type=Path, metavar="FILE.yaml", help="where to write the section; left out, it is printed"
    )
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="cpu is for trying the script out")
    parser.add_argument("--toy", action="store_true", help="tiny sizes: the figures mean nothing")
    options = parser.parse_args(arguments)
    try:
        model = catalog.model(options.model, "--model")
        text = _measure(options, model)
        if options.out is None:
            print(text, end="")
        else:
            write_file(options.out, [text], "--out")
            print(f"written: {options.out}")
    except (ProblemError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _measure(options: argparse.Namespace, model: ModelFacts) -> str:
    try:
        import torch

        from profiling import measure
    except ModuleNotFoundError:
        raise ProblemError("", "PyTorch is needed: pip install torch") from None
    if options.device == "cuda" and not torch.cuda.is_available():
        raise ProblemError("--device", "PyTorch sees no GPU; --device cpu --toy tries the script out")
    sizes = measure.TOY if options.toy or options.device == "cpu" else measure.FULL
    text = as_yaml(measure.profile(model, options.device, sizes), date.today().isoformat())
    return ("# TOY SIZES: these figures mean nothing\n" if sizes is measure.TOY else "") + text


if __name__ == "__main__":
    sys.exit(main())
