"""Choosing an adapter: who judges, what is chosen, and what time does."""

from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from onetrunk.adaptation.auto import FEW_ROWS, _parts, _Trials, choose_adapter
from onetrunk.adaptation.fit import fit
from onetrunk.adaptation.settings import AdaptSettings, Data
from onetrunk.cli import app as cli
from onetrunk.data.rows import LabelledText
from onetrunk.decoding import Labelled
from onetrunk.families import family
from onetrunk.model.backbone import Backbone
from onetrunk.storage import read_json


def texts(count: int) -> list[LabelledText]:
    return [LabelledText(f"{at} {'ab'[at % 2]}", ("xy"[at % 2],)) for at in range(count)]


@pytest.mark.parametrize("rows", [7, 60, FEW_ROWS, FEW_ROWS + 3])
def test_no_row_judges_what_was_trained_on_it(rows: int) -> None:
    data = Data(["x", "y"], texts(rows))
    parts = list(_parts(family("tc"), data, seed=3))
    for part in parts:
        assert not {row.text for row in part.train} & {row.text for row in part.validation}
        assert len(part.train) + len(part.validation) == rows
    judged = [row.text for part in parts for row in part.validation]
    assert len(judged) == len(set(judged))
    if rows < FEW_ROWS:
        assert len(judged) == rows
    else:
        assert len(judged) == pytest.approx(rows / 5, abs=1)


def test_validation_rows_judge_where_there_are_any() -> None:
    data = Data(["x", "y"], texts(9), texts(4))
    assert list(_parts(family("tc"), data, 0)) == [data]


def test_a_label_of_one_row_is_no_error(tiny_backbone: Backbone) -> None:
    rows = [LabelledText(row.text, ()) for row in texts(12)]
    rows[4] = LabelledText(rows[4].text, ("x",))  # without it there is nothing to learn
    data, several = Data(["x"], rows), family("multi-label")
    parts = list(_parts(several, data, 0))
    assert len(parts) == 4
    assert all(rows[4] in part.train for part in parts)
    settings = AdaptSettings(epochs=1, batch_size=4)
    assert choose_adapter(tiny_backbone, several, data, settings, budget=60).chosen == "linear"
    two = Data(["x"], [rows[4], rows[5]])
    choice = choose_adapter(tiny_backbone, several, two, settings, budget=60)
    assert (choice.chosen, choice.why) == ("linear", "there are too few rows to judge a LoRA app")


@pytest.mark.parametrize(
    ("right", "chosen"), [((60, 90), "lora"), ((80, 82), "linear"), ((90, 60), "linear")]
)
def test_the_lora_must_be_better_by_more_than_noise(
    tiny_backbone: Backbone, right: tuple[int, int], chosen: str
) -> None:
    data = Data(["x", "y"], texts(10), texts(100))
    judged = _Trials(tiny_backbone, family("tc"), data, 0)
    for name, first in zip(("linear", "lora"), right, strict=True):
        # The rows that both get right are not the same ones.
        order = torch.randperm(100, generator=torch.Generator().manual_seed(first)).tolist()
        judged.predictions[name] = [
            Labelled(
                row.labels if order[at] < first else ("x" if row.labels == ("y",) else "y",), {}
            )
            for at, row in enumerate(data.validation)
        ]
    found, why = judged.best(60)
    assert found == chosen
    assert f"{right[1] - right[0]:+.1f}" in why
    assert "100 rows" in why


def same_head(a: Any, b: Any) -> bool:
    return torch.equal(a.head.weight, b.head.weight)


def test_the_app_is_trained_on_all_rows(corpora: Path, tiny_backbone: Backbone) -> None:
    kind = family("tc")
    train = kind.read(corpora / "tc/app/train.parquet")[:12]
    settings = AdaptSettings(epochs=1)
    for validation in ([], train[:9]):
        data = Data(kind.label_set(train), train, validation)
        choice = choose_adapter(tiny_backbone, kind, data, settings, 600)
        assert [one.name for one in choice.tried] == ["linear", "lora"]
        assert all(one.score is not None for one in choice.tried)
        alone = fit(tiny_backbone, kind, data, AdaptSettings(choice.chosen, epochs=1))
        assert choice.app.kind == choice.chosen
        assert choice.app.record["train_rows"] == len(train)
        assert same_head(choice.app, alone)


def test_without_time_it_is_linear(corpora: Path, tiny_backbone: Backbone) -> None:
    kind = family("ner")
    train = kind.read(corpora / "ner/app/train.parquet")
    data = Data(kind.label_set(train), train)
    choice = choose_adapter(tiny_backbone, kind, data, AdaptSettings(), 0)
    assert choice.chosen == choice.app.kind == "linear"
    assert choice.tried[1].score is None
    assert "not done in 0 s" in choice.why
    # Nothing of the try is left on the backbone.
    again = fit(tiny_backbone, kind, data, AdaptSettings("linear"))
    assert same_head(choice.app, again)


def test_the_verb_says_why(corpora: Path, tiny_encoder_folder: Any, tmp_path: Path) -> None:
    given = [
        "adapt", str(tiny_encoder_folder("bert")), "--family", "tc",
        "--train", str(corpora / "tc/app/train.parquet"), "--out", str(tmp_path / "app"),
        "--auto", "--epochs", "1", "--k", "1", "--rows", "10",
    ]  # fmt: skip
    result = CliRunner().invoke(cli, given)
    assert result.exit_code == 0, result.output
    record = read_json(tmp_path / "app/app.json", "an app")
    assert record["auto"]["why"] in " ".join(result.output.split())
    assert record["adapter"] in ("linear", "lora")
    result = CliRunner().invoke(cli, [*given, "--overwrite", "--adapter", "lora"])
    assert result.exit_code == 2
    assert "leave one out" in " ".join(result.output.split())
