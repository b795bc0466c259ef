"""A command line that is wrong is refused in one sentence: the option, its value, what would be right; exit 2, nothing printed."""

from __future__ import annotations

import pytest

from optimizer.cli.program import main

ASKED = ("--gpu", "h100-sxm-80gb", "--gpus", "2", "--model", "llama3.1-8b", "--prompt", "500", "--output", "100")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("solve", *ASKED, "--rate", "fast"), "--rate: 'fast' is not a number"),
        (("solve", *ASKED, "--rate=1k"), "--rate: '1k' is not a number"),
        (("solve", "--prompt", "1k"), "--prompt: '1k' is not a whole number"),
        (("check", "--tp", "two"), "--tp: 'two' is not a whole number"),
        (("check", "--tp"), "--tp: needs a value"),
        (("solve", "p.yaml", "--tp", "2"), "optimizer check judges a strategy"),
        (("solve", "--modle", "x"), "did you mean --model?"),
        (("report", "p.yaml"), "--out: is needed"),
        (("audit",), "REPORT: is needed"),
        (("solve", "a.yaml", "b.yaml"), "takes one problem file"),
        (
            ("detect", "a.yaml"),
            "got unexpected extra argument(s) (a.yaml); optimizer detect --help lists what it takes",
        ),
        (("solv", "p.yaml"), "Did you mean 'solve'?"),
        (("solve", "--gpu", "h100-sxm-80gb"), "or --model, --prompt, --output, --rate beside"),
    ],
)
def test_a_wrong_command_line_is_one_sentence(
    arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main(list(arguments))
    printed = capsys.readouterr()
    assert left.value.code == 2 and printed.out == ""
    assert said in printed.err and printed.err.startswith("error: ") and len(printed.err.splitlines()) == 1
    assert "Input should be" not in printed.err


@pytest.mark.parametrize("arguments", [(), ("--help",)])
def test_the_list_of_commands_cuts_no_sentence_off(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(list(arguments))
    printed = capsys.readouterr()
    listed = (printed.out or printed.err).split("Commands:")[1]
    assert "..." not in listed and "solve  " in listed and "how-sure" in listed


@pytest.mark.parametrize("kind", ["uniform", "inventory", "hardware", "cluster", "chain"])
def test_kinds_are_called_as_files_or_as_answers_call_them(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("init", "schema"):
        with pytest.raises(SystemExit) as left:
            main([command, "--kind", kind])
        assert left.value.code == 0 and capsys.readouterr().out
