from pathlib import Path
from types import MappingProxyType
from typing import Any, get_args

import numpy as np
import pytest
import torch
from pydantic import BaseModel

from onetrunk.benchmark.suite import Suite
from onetrunk.config import SEEDS, FamilySettings, Recipe, as_recipe, load_recipe, parse
from onetrunk.data.batching import step_rng
from onetrunk.errors import UserError, nearest
from onetrunk.prefinetuning.objectives.ner import NerSettings
from onetrunk.prefinetuning.objectives.pairs import PairSettings

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
        (MINIMAL + "steps: 2\nsteps: 3\n", r":6: the key 'steps' occurs twice"),
        (MINIMAL + "steps: yes\n", r"steps: .*integer.*\(got 'yes'\)"),
        (MINIMAL + "steps: true\n", r"steps: true and false are no value of it \(got True\)"),
        (MINIMAL + "steps: 1:30\n", r"steps: .*integer.*\(got '1:30'\)"),
        (MINIMAL + "dropout: false\n", r"dropout: true and false .*\(got False\)"),
        (MINIMAL + "lora: {rank: true}\n", r"lora\.rank: true and false .*\(got True\)"),
        (MINIMAL + f"seed: {2**63}\n", rf"seed: .*less than {2**63} \(got {2**63}\)"),
        (MINIMAL + "seed: -1\n", r"seed: .*greater than or equal to 0"),
        (MINIMAL + "steps: 9999999999\n", r"steps: .*less than or equal to 1000000000 \(got"),
        (MINIMAL + "k: 1001\n", r"k: .*less than or equal to 1000 \(got 1001\)"),
        (MINIMAL + "threads: 5000\n", r"threads: .*less than or equal to 4096"),
        (MINIMAL + "lora: {rank: 10001}\n", r"lora\.rank: .*less than or equal to 10000"),
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


def test_every_whole_number_has_a_limit() -> None:
    models = [Recipe, *_models_in(Recipe), FamilySettings, *_models_in(FamilySettings)]
    models += [NerSettings, *_models_in(NerSettings), PairSettings, Suite, *_models_in(Suite)]
    unlimited = {
        f"{model.__name__}.{name}"
        for model in models
        for name, schema in model.model_json_schema()["properties"].items()
        for part in (schema, *schema.get("anyOf", ()), schema.get("items", {}))
        if part.get("type") == "integer" and not {"maximum", "exclusiveMaximum"} & part.keys()
    }
    assert unlimited == {"PairSettings.dimensions"}  # of which the encoder's width is the most


def _models_in(model: type[BaseModel]) -> list[type[BaseModel]]:
    kinds = [kind for field in model.model_fields.values() for kind in _parts(field.annotation)]
    inner = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
    return inner + [deeper for kind in inner for deeper in _models_in(kind)]


def _parts(annotation: Any) -> list[Any]:
    return [annotation, *(part for inner in get_args(annotation) for part in _parts(inner))]


def test_batches_and_texts_have_a_limit() -> None:
    for settings, why in (
        ({"batch_size": 10**9}, r"batch_size: .*less than or equal to 100000 \(got 1000000000\)"),
        ({"max_length": 10**9}, r"max_length: .*less than or equal to 100000"),
        ({"batch_size": True}, r"batch_size: true and false are no value of it"),
        ({"concept": {"negatives": 10**9}}, r"concept\.negatives: .*less than or equal to 1000000"),
        ({"concept": {"projection": True}}, r"concept\.projection: true and false"),
    ):
        with pytest.raises(UserError, match=why):
            parse(NerSettings, settings, "here")
    parse(NerSettings, {"concept": {"learn_temperature": "no"}}, "here")


def test_names_of_a_recipe_that_look_like_truth_values_are_names(tmp_path: Path) -> None:
    text = "encoder: no\nfamilies:\n  tc:\n    labelled: [{path: on, split: off, text_column: y}]\n"
    loaded = load_recipe(recipe(tmp_path, text))
    source = parse(FamilySettings, loaded.families["tc"], "here").labelled[0]
    assert (loaded.encoder, source.split, source.text_column) == ("no", "off", "y")


def test_a_large_seed_draws_and_starts() -> None:
    seed = SEEDS - 1
    assert np.random.default_rng(seed).integers(9) >= 0
    assert step_rng(seed, 3, "ner").integers(9) >= 0
    torch.manual_seed(seed)
    torch.Generator().manual_seed(seed)


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
