import json
from pathlib import Path
from typing import Any

import pytest

from onetrunk.config import Recipe
from onetrunk.errors import UserError
from onetrunk.model.backbone import load_backbone
from onetrunk.prefinetune.loop import StepRecord, Trainer
from onetrunk.prefinetune.run import prefinetune


@pytest.fixture
def recipe(corpora: Path, tiny_encoder_folder: Any) -> Recipe:
    sources = {"ner": "pre_ner/a", "tc": "pre_pairs/c"}
    return Recipe.model_validate(
        {
            "encoder": str(tiny_encoder_folder("distilbert")),
            "steps": 3,
            "k": 1,
            "families": {
                name: {"batch_size": 4, "sources": [{"path": str(corpora / path)}]}
                for name, path in sources.items()
            },
        }
    )


def test_the_folder_holds_the_run(recipe: Recipe, tmp_path: Path) -> None:
    out = tmp_path / "backbone"
    made = prefinetune(recipe, out)
    names = {file.name for file in out.iterdir()}
    assert {"config.json", "model.safetensors", "onetrunk.json", "primary"} <= names
    assert {"training.jsonl", "losses.png", "tokenizer.json"} <= names
    loaded = load_backbone(out)
    assert loaded.fingerprint == made.fingerprint
    assert set(loaded.primary) == {"ner", "tc"}
    assert (loaded.k, loaded.pooling) == (1, "mean")
    assert Recipe.model_validate(loaded.record["recipe"]) == recipe
    (source,) = loaded.record["data"]["tc"]["sources"]
    assert (source["name"], source["rows"], source["texts_drawn"]) == ("c", 30, 3 * 2 * 4)
    assert len(source["sha256"]) == 64
    lines = [json.loads(line) for line in (out / "training.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [0, 1, 2]
    assert sum(line["tokens"] for line in lines) == loaded.record["useful_tokens"]


def test_truncated_texts_are_counted(recipe: Recipe, tmp_path: Path) -> None:
    recipe.families["ner"]["max_length"] = 8
    made = prefinetune(recipe, tmp_path / "backbone")
    assert 0 < made.record["data"]["ner"]["truncated_share"] <= 1


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_interrupted_run_leaves_nothing(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    before = set(tmp_path.iterdir())
    step = Trainer.step

    def stop(self: Trainer, number: int) -> StepRecord:
        if number == 1:
            raise error
        return step(self, number)

    monkeypatch.setattr(Trainer, "step", stop)
    with pytest.raises(error):
        prefinetune(recipe, tmp_path / "backbone")
    assert set(tmp_path.iterdir()) == before


def test_an_existing_folder_is_kept(recipe: Recipe, tmp_path: Path) -> None:
    out = tmp_path / "backbone"
    out.mkdir()
    (out / "precious").write_text("x")
    with pytest.raises(UserError, match="already exists"):
        prefinetune(recipe, out)
    assert (out / "precious").read_text() == "x"
