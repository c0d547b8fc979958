from pathlib import Path
from types import MappingProxyType

import pytest

from onetrunk.config import FamilySettings, Recipe, as_recipe, load_recipe, parse
from onetrunk.errors import UserError, nearest

MINIMAL = "encoder: e\nfamilies:\n  ner:\n    sources: [{path: a}]\n"


def recipe(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "r.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_defaults_are_filled_and_paths_start_at_the_recipe(tmp_path: Path) -> None:
    loaded = load_recipe(recipe(tmp_path, MINIMAL.replace("encoder: e", "encoder: ./enc")))
    assert loaded.strategy == "tpl"
    assert loaded.families["ner"]["sources"] == [{"path": str(tmp_path / "a")}]
    assert loaded.encoder == str(tmp_path / "enc")


def test_what_is_saved_loads_as_the_same_recipe(tmp_path: Path) -> None:
    loaded = load_recipe(recipe(tmp_path, MINIMAL))
    assert Recipe.model_validate(loaded.model_dump()) == loaded


def test_overrides_replace_and_none_does_not(tmp_path: Path) -> None:
    loaded = load_recipe(recipe(tmp_path, MINIMAL + "steps: 7\n"), strategy="ner", steps=None)
    assert (loaded.strategy, loaded.steps) == ("ner", 7)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (MINIMAL + "stepz: 3\n", "unknown key 'stepz'; did you mean 'steps'?"),
        (MINIMAL + "lora: {rnak: 3}\n", "unknown key 'lora.rnak'; did you mean 'rank'?"),
        (MINIMAL + "optimizer: {lr: 3}\n", "unknown key 'optimizer.lr'; "),
        (MINIMAL + "steps: 0\n", r"steps: input should be greater than or equal to 1 \(got 0\)"),
        (MINIMAL + "k: two\n", r"k: input should be a valid integer.*\(got 'two'\)"),
        (MINIMAL + "dropout: .nan\n", "dropout: "),
        ("families: {}\n", "encoder: field required"),
        ("- a\n", "is not a recipe: a mapping of keys was expected"),
        ("a: [\n", "is not YAML: "),
        ("", "is not a recipe"),
    ],
)
def test_bad_recipes_name_file_key_and_value(tmp_path: Path, text: str, message: str) -> None:
    path = recipe(tmp_path, text)
    with pytest.raises(UserError, match=message) as error:
        load_recipe(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_missing_recipe(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no such recipe: .*nope\.yaml"):
        load_recipe(tmp_path / "nope.yaml")


def test_a_recipe_in_any_form(tmp_path: Path) -> None:
    path = recipe(tmp_path, MINIMAL)
    loaded = load_recipe(path)
    assert as_recipe(loaded) is loaded
    assert as_recipe(path) == as_recipe(str(path)) == loaded
    assert as_recipe(MappingProxyType(loaded.model_dump())) == loaded
    with pytest.raises(UserError, match="recipe: encoder: field required"):
        as_recipe({"families": {}})


@pytest.mark.parametrize("sources", ["3", "a.jsonl", "{path: a}"])
def test_sources_that_are_no_list_wait_for_their_family(tmp_path: Path, sources: str) -> None:
    loaded = load_recipe(recipe(tmp_path, MINIMAL.replace("[{path: a}]", sources)))
    with pytest.raises(UserError, match="sources: input should be a valid list"):
        parse(FamilySettings, loaded.families["ner"], "here")


def test_unknown_key_inside_a_list_of_sources() -> None:
    data = {"sources": [{"path": "a"}, {"path": "b", "wieght": 2}]}
    with pytest.raises(
        UserError, match=r"here: unknown key 'sources\.1\.wieght'; did you mean 'weight'"
    ):
        parse(FamilySettings, data, "here")


def test_nearest_lists_a_long_choice_briefly() -> None:
    hint = nearest("zz", [f"name{i:02}" for i in range(20)])
    assert hint.endswith("… (20 in all)")
    assert "did you mean" not in hint
    assert nearest("NER", ["ner", "tc"]) == "did you mean 'ner'? valid: ner, tc"
    assert nearest("x", []) == "there is nothing to choose from"
