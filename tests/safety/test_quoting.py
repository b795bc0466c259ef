"""Quoting gives back what went in, whatever the text: properties over generated texts, one language after the other."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from optimizer.facts.text import visible
from optimizer.writing.quoting import (
    compose_text,
    csv_cell,
    dot,
    markdown,
    markdown_code,
    mermaid,
    shell_word,
)
from optimizer.writing.yaml_text import yaml_text

TEXTS = st.text(
    st.characters(exclude_categories=["Cs"]) | st.sampled_from("'\"`$\\;&|<>*_[]()#!-=+@:{}%\n\r\t\u202e\u0000"),
    max_size=60,
)
STEADY = settings(max_examples=300, deadline=None, derandomize=True)


def inner_of(tokens: Sequence[Any]) -> list[Any]:
    """What is not plain text."""
    return [token for token in tokens if token.type not in ("text", "softbreak")]


@STEADY
@given(TEXTS.filter(lambda text: "\0" not in text))
def test_a_shell_word_is_one_word(text: str) -> None:
    assert shlex.split(f"printf %s {shell_word(text)}")[2:] == [text]


@STEADY
@given(TEXTS)
def test_yaml_is_data(text: str) -> None:
    printable = visible(text)
    assert yaml.safe_load(yaml_text({"name": printable, printable or "-": [printable]}))["name"] == printable


@STEADY
@given(TEXTS)
def test_markdown_shows_the_words_and_nothing_else(text: str) -> None:
    tokens = MarkdownIt("commonmark").enable("table").parse(f"a {markdown(text)} b")
    assert [token.type for token in tokens] == ["paragraph_open", "inline", "paragraph_close"]
    assert not inner_of(tokens[1].children or ())


@STEADY
@given(TEXTS)
def test_a_code_span_is_one_span(text: str) -> None:
    inline = MarkdownIt("commonmark").parseInline(f"a {markdown_code(text)} b")[0].children or []
    assert {token.type for token in inner_of(inline)} <= {"code_inline"} and len(inner_of(inline)) <= 1


@STEADY
@given(TEXTS)
def test_other_languages(text: str) -> None:
    assert json.loads(dot(text)).replace("&amp;", "&") == text
    assert compose_text(text).replace("$$", "$") == text
    assert not set(mermaid(text)) & set('"<>`')
    cell = csv_cell(text)
    assert isinstance(cell, str) and cell.endswith(text) and cell[:1] not in ("=", "+", "@")
