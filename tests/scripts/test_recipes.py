"""The worked additions of CONTRIBUTING.md: each applies to the project as it is, touches few files, and its tests pass."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.recipes.__main__ import RECIPES, failure, together
from scripts.recipes.recipe import Recipe, after, replaced

ROOT = Path(__file__).parents[2]
NAMES = [recipe.name for recipe in RECIPES]


@pytest.mark.parametrize("recipe", RECIPES, ids=NAMES)
def test_it_applies_and_touches_few_files(recipe: Recipe) -> None:
    assert len(recipe.files) <= recipe.most
    for name, edit in recipe.files.items():
        text = (ROOT / name).read_text() if (ROOT / name).exists() else ""
        changed = edit(text)
        assert changed != text and len(changed) > len(text)


def test_each_one_s_own_test_fails_without_it_and_passes_with_it() -> None:
    assert together() == {}


@pytest.mark.long
@pytest.mark.parametrize("recipe", RECIPES, ids=NAMES)
def test_each_works(recipe: Recipe) -> None:
    assert failure(recipe) is None


def test_an_edit_that_does_not_apply_is_an_error() -> None:
    with pytest.raises(LookupError):
        replaced("a", "b")("aa")
    assert after("a", "b")("a") == "ab"


def test_contributing_names_each() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    for recipe in RECIPES:
        assert f"at most {recipe.most} file" in text
