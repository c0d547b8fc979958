import importlib.util
import json
import logging
import re
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from tensorboardX.proto.event_pb2 import Event

from onetrunk.config import Recipe
from onetrunk.errors import UserError
from onetrunk.families import FAMILIES
from onetrunk.families.classification import Classification
from onetrunk.model.backbone import Backbone
from onetrunk.prefinetuning.log import StepRecord, read_log
from onetrunk.prefinetuning.loop import Trainer
from onetrunk.prefinetuning.optimizer import rate
from onetrunk.prefinetuning.run import _due, prefinetune
from onetrunk.processes import Processes


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


@pytest.mark.figures
def test_the_folder_holds_the_run(recipe: Recipe, tmp_path: Path) -> None:
    out = tmp_path / "backbone"
    made = prefinetune(recipe, out)
    names = {file.name for file in out.iterdir()}
    assert {"config.json", "model.safetensors", "onetrunk.json", "primary"} <= names
    assert {"training.jsonl", "tokenizer.json"} <= names
    for figure in ("losses.png", "conflict.png"):
        assert (out / figure).read_bytes().startswith(b"\x89PNG")
    loaded = Backbone.load(out)
    assert loaded.fingerprint == made.fingerprint
    assert set(loaded.primary_loras) == {"ner", "tc"}
    assert (loaded.k, loaded.pooling) == (1, "mean")
    assert Recipe.model_validate(loaded.record["recipe"]) == recipe
    (source,) = loaded.record["data"]["tc"]["sources"]
    assert (source["name"], source["rows"], source["texts_drawn"]) == ("c", 30, 3 * 2 * 4)
    assert len(source["sha256"]) == 64
    lines = [json.loads(line) for line in (out / "training.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [0, 1, 2]
    assert sum(line["tokens"] for line in lines) == loaded.record["useful_tokens"]


def test_prefixes_of_pairs_are_prompts_of_sentence_transformers(
    recipe: Recipe, tmp_path: Path
) -> None:
    recipe.families["tc"] |= {"query_prefix": "query: ", "passage_prefix": "passage: "}
    prefinetune(recipe, tmp_path / "b")
    settings = json.loads((tmp_path / "b/config_sentence_transformers.json").read_text())
    assert settings["prompts"] == {"query": "query: ", "document": "passage: "}
    assert settings["default_prompt_name"] is None


def test_a_recipe_is_a_path_a_mapping_or_a_model(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "recipe.yaml"
    file.write_text(yaml.safe_dump(recipe.model_dump()))
    forms: list[Any] = [recipe, recipe.model_dump(), file, str(file), "recipe.yaml"]
    made = [prefinetune(form, out=f"out-{i}") for i, form in enumerate(forms)]
    assert len({backbone.fingerprint for backbone in made}) == 1
    assert Path("out-4/onetrunk.json").exists()


def test_the_result_knows_its_folder(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Apps that are trained on it name this folder, not the encoder that it started from."""
    monkeypatch.chdir(tmp_path)
    backbone = prefinetune(recipe, "runs/tpl")
    assert backbone.encoder.source == "runs/tpl"
    assert Backbone.load(backbone.encoder.source).fingerprint == backbone.fingerprint


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (
            "recipes/tlp.yaml",
            r"no such recipe: .*/tlp\.yaml; did you mean recipes/tpl\.yaml\?$",
        ),
        ("recipes/tpl", r"no such recipe: recipes/tpl; did you mean recipes/tpl\.yaml\?$"),
        ("recipes", "recipes is a folder, not a recipe: name a YAML file"),
        ("nowhere/tpl.yaml", r"no such recipe: nowhere/tpl\.yaml$"),
    ],
)
def test_a_wrong_path_of_a_recipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recipes").mkdir()
    for name in ("tpl.yaml", "joint.yml", "tlp.txt"):
        (tmp_path / "recipes" / name).touch()
    with pytest.raises(UserError, match=message):
        prefinetune(path, out="out")
    with pytest.raises(UserError, match="recipe: unknown key 'stepz'; did you mean 'steps'"):
        prefinetune({"encoder": "e", "families": {}, "stepz": 3}, out="out")


def test_progress_and_notes_are_reported_and_nothing_is_printed(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    monkeypatch.setenv("ONETRUNK_CACHE", str(tmp_path / "cache"))  # nothing is prepared yet
    told: list[tuple[str, int, int | None]] = []
    with caplog.at_level(logging.INFO, "onetrunk"):
        prefinetune(
            recipe, tmp_path / "out", tensorboard=True, progress=lambda *args: told.append(args)
        )
    assert told[0] == ("opening encoder and sources", 0, None)
    assert ("preparing a: 0 rows", 0, None) in told
    assert ("pre-finetune tpl", 0, 3) in told
    training = [(done, total) for what, done, total in told if what.startswith("pre-finetune tpl:")]
    assert training == [(1, 3), (2, 3), (3, 3)]
    assert re.fullmatch(
        r"pre-finetune tpl: ner \d\.\d{3}  tc \d\.\d{3}  [\d,]+ tok/s, 0% padding", told[-1][0]
    )
    (note, shown) = caplog.records
    assert (note.levelname, shown.levelname) == ("WARNING", "INFO")
    assert note.message.startswith("duplicate rows (same text and labels): ")
    assert shown.message == f"tensorboard --logdir {tmp_path}/out.checkpoints/tensorboard"
    assert capfd.readouterr() == ("", "")


def test_progress_may_stop_the_run(recipe: Recipe, tmp_path: Path) -> None:
    def stop(what: str, done: int, total: int | None) -> None:
        if total == 3 and done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt, match="step-000001 is kept"):
        prefinetune(recipe, tmp_path / "out", checkpoint_every=1, progress=stop)


def test_only_the_first_process_reports(
    recipe: Recipe, tmp_path: Path, together: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def work(processes: Processes) -> tuple[int, int]:
        caplog.clear()
        told: list[str] = []
        out = tmp_path / "out"
        prefinetune(recipe, out, resume=True, progress=lambda what, *_: told.append(what))
        return len(told), len(caplog.records)

    (told, logged), others = together(2, work)
    assert told >= 5
    assert logged >= 1
    assert others == (0, 0)


def test_a_family_without_an_objective_is_refused(recipe: Recipe, tmp_path: Path) -> None:
    class Mood(Classification):
        name = "mood"

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FAMILIES, "_own", {**FAMILIES._own, "mood": Mood()})
        recipe.families["mood"] = {"labelled": []}
        with pytest.raises(UserError, match=r"families\.mood: .*onetrunk\.objectives entry point"):
            prefinetune(recipe, tmp_path / "out")


def test_no_more_tokens_than_the_encoder_has_places(recipe: Recipe) -> None:
    recipe.families["tc"]["max_length"] = 10_000
    with pytest.raises(
        UserError, match=r"families\.tc\.max_length is 10000, but the encoder reads"
    ):
        Trainer(recipe)


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
    assert made.record["padding_waste"] == 0  # texts are packed on a CPU


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


def test_the_log_holds_every_record_and_training_reads_it_back(
    recipe: Recipe, tmp_path: Path
) -> None:
    made: list[StepRecord] = []
    Trainer(recipe).run(made.append)
    prefinetune(recipe, tmp_path / "out")
    logged = read_log(tmp_path / "out/training.jsonl", recipe.steps)
    for one, other in zip(made, logged, strict=True):
        assert {**asdict(one), "seconds": 0} == {**asdict(other), "seconds": 0}
        assert other.seconds > 0
    assert set(logged[0].gradient_norms) == {"ner", "tc"}
    assert set(logged[0].cosines) == {"ner|tc"}
    with pytest.raises(UserError, match="line 4: step 3 is missing"):
        read_log(tmp_path / "out/training.jsonl", recipe.steps + 1)


def scalars(folder: Path) -> dict[str, dict[int, float]]:
    """Name -> step -> value, of all event files; an event that comes twice is an error."""
    found: dict[str, dict[int, float]] = {}
    for file in folder.iterdir():
        events = file.read_bytes()
        while events:  # length, its checksum, a protocol buffer, its checksum
            size = int.from_bytes(events[:8], "little")
            event = Event.FromString(events[12 : 12 + size])
            for value in event.summary.value:
                assert event.step not in found.setdefault(value.tag, {})
                found[value.tag][event.step] = value.simple_value
            events = events[16 + size :]
    return found


def test_tensorboard_shows_every_step_once(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    step = Trainer.step

    def stop(self: Trainer, number: int) -> StepRecord:
        if number == 2:
            raise RuntimeError
        return step(self, number)

    monkeypatch.setattr(Trainer, "step", stop)
    with pytest.raises(RuntimeError):
        prefinetune(recipe, out, checkpoint_every=1, tensorboard=True)
    assert set(scalars(tmp_path / "out.checkpoints/tensorboard")["loss/ner"]) == {0, 1}
    monkeypatch.setattr(Trainer, "step", step)
    prefinetune(recipe, out, resume=True, tensorboard=True)
    found = scalars(out / "tensorboard")
    records = read_log(out / "training.jsonl", recipe.steps)
    places = ["embeddings", *(f"layer_{i}" for i in (1, 2, 3))]
    for i, record in enumerate(records):
        expected = {
            "loss/ner": record.losses["ner"],
            "loss/tc": record.losses["tc"],
            "weight/ner": 1.0,
            "gradient_norm/update": record.gradient_norm,
            "learning_rate/backbone": 1e-4 * rate(i, recipe.steps, recipe.optimizer),
            "learning_rate/lora": 5e-4 * rate(i, recipe.steps, recipe.optimizer),
            "learning_rate/objective": 1e-3 * rate(i, recipe.steps, recipe.optimizer),
            "speed/tokens_per_second": record.tokens / record.seconds,
        }
        for name, values in (
            ("gradient_norm_tc", record.gradient_norms["tc"]),
            ("cosine_ner_tc", record.cosines["ner|tc"]),
        ):
            expected |= {f"{name}/{p}": v for p, v in zip(places, values, strict=True)}
        assert {name: found[name][i] for name in expected} == pytest.approx(expected, rel=1e-5)
    assert all(list(steps) == [0, 1, 2] for steps in found.values())


def test_without_the_extra_tensorboard_is_refused_before_the_work(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(Trainer, "__init__", lambda *_, **__: pytest.fail("worked"))
    with pytest.raises(UserError, match=r"pip install 'onetrunk\[tensorboard\]'"):
        prefinetune(recipe, tmp_path / "out", tensorboard=True)


def test_checkpoints_are_due_by_steps_or_by_time(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [steps for steps in range(1, 10) if _due(3)(steps)] == [3, 6, 9]
    clock = iter([0.0, 100.0, 299.0, 301.0, 600.0, 602.0])
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    due = _due(timedelta(minutes=5))
    assert [due(steps) for steps in range(1, 6)] == [False, False, True, False, True]


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
