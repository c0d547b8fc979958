import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
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


def test_cut_texts_are_counted_and_sentences_are_not_cut(recipe: Recipe, tmp_path: Path) -> None:
    folder = tmp_path / "long"
    folder.mkdir()
    texts = [f"call {word}" * 6 for word in "abcdefgh"]
    table = {"query": texts, "positive": [f"met {i}" for i in range(8)]}
    pq.write_table(pa.table(table), folder / "train.parquet")
    recipe.families["tc"] |= {"max_length": 8, "sources": [{"path": str(folder)}]}
    recipe.families["ner"]["max_length"] = 8
    made = prefinetune(recipe, tmp_path / "backbone")
    assert made.record["data"]["tc"]["truncated_share"] == 0.5
    assert made.record["data"]["ner"]["truncated_share"] == 0
    assert 0 < made.record["padding_waste"] < 0.5


def test_rows_of_evaluation_sets_are_left_out(
    recipe: Recipe, corpora: Path, tmp_path: Path
) -> None:
    """Invariant 10, from the recipe to the backbone folder."""
    planted = ["ann met mum in the new york river bank", "call bob and play music in paris now"]
    for name, column, changed in (
        ("ner", "tokens", [planted[0].upper().split(), ["dora", "met", "a", "bank", "in", "york"]]),
        ("tc", "text", [planted[1].replace("bob", "cid"), "met"]),
    ):
        folder = tmp_path / "held out" / name
        folder.mkdir(parents=True)
        pq.write_table(pa.table({column: changed}), folder / "test.parquet")
    before = pq.read_table(corpora / "pre_ner/a/train.parquet").to_pydict()
    tokens = planted[0].split()
    before["tokens"].append(tokens)
    before["ner_tags"].append(["O"] * len(tokens))
    pq.write_table(pa.table(before), corpora / "pre_ner/a/train.parquet")
    pairs = pq.read_table(corpora / "pre_pairs/c/train.parquet").to_pydict()
    pairs["query"].append("met")
    pairs["positive"].append(planted[1])
    pq.write_table(pa.table(pairs), corpora / "pre_pairs/c/train.parquet")
    against = [str(tmp_path / "held out" / "*")]
    recipe = Recipe.model_validate(recipe.model_dump() | {"decontaminate": {"against": against}})
    made = prefinetune(recipe, tmp_path / "backbone")
    (source,) = made.record["data"]["ner"]["sources"]
    assert source["rows"] == 40
    report = json.loads((tmp_path / "backbone/decontamination.json").read_text())
    removed = {name: source["removed"] for name, source in report["sources"].items()}
    assert removed["a"] == {"exact": 0, "normalised": 1, "contained": 0, "near": 0}
    assert removed["c"] == {"exact": 0, "normalised": 0, "contained": 0, "near": 1}
    assert report["evaluation_sets"]["held out/tc/test"]["too_short"] == 1
    again = prefinetune(recipe, tmp_path / "again")  # from the cache
    assert again.fingerprint == made.fingerprint
    assert json.loads((tmp_path / "again/decontamination.json").read_text()) == report


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
