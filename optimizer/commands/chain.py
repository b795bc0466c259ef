"""``optimizer solve`` on a problem of kind ``chain``: reads, calls the public API, prints, draws."""

from __future__ import annotations

from pathlib import Path

import typer


def solve_if_chain(path: str, as_json: bool, time_limit_s: float | None, svg: str | None) -> tuple[str, bool] | None:
    """Solve and print a chain problem; its status and whether the verifier agrees. None for any other kind of problem.

    Raises:
        ProblemError: the file cannot be used, or a picture is wanted of a problem that has none.
    """
    from optimizer.facts.errors import ProblemError
    from optimizer.facts.load import read_mapping

    values = read_mapping(Path(path), path)
    if values.get("kind") != "chain":
        if svg is not None:
            raise ProblemError("--svg", "draws the chains of a problem of kind: chain only")
        return None
    from optimizer.chain import chain_from_dict, solve_chain
    from optimizer.render.progress import LiveLine

    problem = chain_from_dict(values, default_name=Path(path).stem)
    with LiveLine() as live:
        answer = solve_chain(problem, time_limit_s=time_limit_s, progress=live)
    if as_json:
        from optimizer.render.as_json import dumps
        from optimizer.render.chain import chain_data

        typer.echo(dumps(chain_data(answer)))
    else:
        from optimizer.render.chain import print_chain

        print_chain(answer)
    if svg is not None:
        from optimizer.commands.files import write_whole
        from optimizer.render.chain_svg import chain_svg

        write_whole(svg, chain_svg(answer), "--svg")
    return answer.status, answer.verification.passed
