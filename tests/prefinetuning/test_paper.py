"""``recipes/paper.yaml`` on a hub that is made up: every source is read and both families learn."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import datasets
import pytest

from onetrunk.config import load_recipe
from onetrunk.data.notes import Notes
from onetrunk.data.rows import Pair
from onetrunk.data.sources import (
    USUAL,
    Columns,
    locate,
    read_classification,
    read_ner,
    read_pairs,
)
from onetrunk.errors import UserError
from onetrunk.prefinetuning.run import prefinetune

RECIPE = Path(__file__).parents[2] / "recipes" / "paper.yaml"
COLUMNS = {
    "all-nli": ("anchor", "positive"), "altlex": ("text", "simplified"),
    "gooaq": ("question", "answer"), "natural-questions": ("query", "answer"),
    "quora-duplicates": ("anchor", "positive"), "simple-wiki": ("text", "simplified"),
    "squad": ("question", "answer"), "stackexchange-duplicates": ("title1", "title2"),
    "wikihow": ("text", "summary"), "yahoo-answers": ("title", "answer"),
}  # fmt: skip
"""By set: the columns, as their cards named them."""


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str | None, str]]:
    opened: list[tuple[str, str | None, str]] = []

    def load(name: str, config: str | None, split: str, streaming: bool) -> Any:
        opened.append((name, config, split))
        if name == "numind/NuNER":
            rows = [
                {"input": f"call mum in paris {n}", "output": "['mum <> person', 'Paris <> city']"}
                for n in range(12)
            ]
        else:
            one, other = COLUMNS[name.partition("/")[2]]
            rows = [{one: f"play song {n}", other: f"the song number {n}"} for n in range(12)]
        return datasets.Dataset.from_list(rows).to_iterable_dataset()

    def builder(name: str, config: str | None) -> Any:
        named = SimpleNamespace(name=config or "default", version="1")
        return SimpleNamespace(config=named, hash="x")

    monkeypatch.setattr(datasets, "load_dataset", load)
    monkeypatch.setattr(datasets, "load_dataset_builder", builder)
    return opened


def test_a_dry_run(
    hub: list[tuple[str, str | None, str]], tmp_path: Path, tiny_encoder_folder: Any
) -> None:
    recipe = load_recipe(RECIPE, steps=2, encoder=str(tiny_encoder_folder()), precision="fp32")
    recipe.k = 2
    for family in recipe.families.values():
        family |= {"batch_size": 4, "max_length": 16}
    backbone = prefinetune(recipe, tmp_path / "backbone")
    assert sorted(backbone.primary_loras) == ["ner", "tc"]
    assert ("numind/NuNER", None, "entity") in hub
    assert ("sentence-transformers/yahoo-answers", "title-answer-pair", "train") in hub
    assert {name.partition("/")[2] for name, *_ in hub} == {*COLUMNS, "NuNER"}


def test_rows_of_nuner() -> None:
    rows = [
        {"input": "Ada met ada in York", "output": "['Ada <> person <> a mathematician']"},
        {"input": "in YORK", "output": '["York <> city", "Rome <> city"]'},
        {"input": "none", "output": "[]"},
    ]
    notes = Notes()
    read = read_ner(rows, notes)
    assert [row.entities for row in read] == [((0, 3, "person"),), ((3, 7, "city"),), ()]
    assert notes.found["surfaces that do not occur in their text, left out"].count == 1
    for output in ("Ada", "['Ada']", "['<> person']", "[1]"):
        with pytest.raises(UserError, match="the list given, row 2: "):
            read_ner([rows[0], {"input": "Ada", "output": output}])


@pytest.mark.parametrize("columns", [USUAL, Columns("input", ("output",)), Columns("input")])
def test_columns_called_input_and_output_hold_what_they_hold(
    tmp_path: Path, columns: Columns
) -> None:
    labels = ["refund", "tracking"] * 3
    lines = [f"please do something with item {n},{label}\n" for n, label in enumerate(labels)]
    (tmp_path / "a.csv").write_text("input,output\n" + "".join(lines))
    source = replace(locate(tmp_path / "a.csv"), columns=columns)
    assert [row.labels for row in read_classification(source)] == [(label,) for label in labels]


def test_chosen_columns_come_before_the_rows_of_nuner() -> None:
    rows = [{"input": "Ada <> met", "output": "x <> y"}, {"input": "ada", "output": "x"}]
    source = replace(locate(rows), columns=Columns("input", ("output",)))
    assert [row.labels for row in read_classification(source)] == [("x <> y",), ("x",)]


def test_usual_names_of_pairs() -> None:
    for one, other in COLUMNS.values():
        notes = Notes()
        assert read_pairs([{one: "a", other: "b"}], notes) == [Pair("a", "b")]
        assert len(notes.found) == (one != "query") + (other != "positive")
    with pytest.raises(UserError, match="no column 'positive'"):
        read_pairs([{"query": "a", "other": "b"}])
