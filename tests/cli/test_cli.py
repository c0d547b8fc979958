"""The command line as a user meets it: what it prints, exits with, and leaves behind."""

import json
import multiprocessing
import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from onetrunk.model.backbone import Backbone
from onetrunk.prefinetuning.loop import Trainer

ODD_TEXTS = [
    "",
    "😀 👨‍👩‍👧‍👦 ann",
    "東京 in new york",
    "שלום bob",
    "e\u0301te\u0301 zero\u200bwidth \u200d",
    "\u0000 \u0085 x",
]


Run = Callable[..., Any]


@pytest.fixture
def backbone(run: Run, recipe: Path, corpora: Path) -> Path:
    out = corpora / "backbone"
    assert run("prefinetune", recipe, "--out", out).code == 0
    return out


def adapt(run: Run, backbone: object, corpora: Path, family: str = "tc", *more: object) -> Any:
    data = corpora / family / "app"
    return run(
        *("adapt", backbone, "--family", family, "--train", data / "train.parquet"),
        *("--out", corpora / "apps" / family, "--adapter", "linear", *more),
    )


def refused(result: Any, *parts: str) -> None:
    """A user's error: exit code 2, one line on stderr that says all of ``parts``, no output. Notes
    on the rows may come before it."""
    assert result.code == 2, result
    assert result.out == ""
    lines = [line for line in result.err.splitlines() if "Loading weights" not in line]
    while lines and lines[0].startswith("note: "):
        del lines[0]
    assert len(lines) == 1, result.err
    assert lines[0].startswith("error: ")
    for part in parts:
        assert part in lines[0]


def nothing_left(folder: Path) -> bool:
    return not folder.exists() and not list(folder.parent.glob(".*partial"))


# ---------------------------------------------------------------------------------- the way it goes


def test_from_recipe_to_predictions(run: Run, backbone: Path, corpora: Path) -> None:
    for family, metric in (("ner", "f1"), ("tc", "accuracy")):
        data = corpora / family / "app"
        result = run(
            *("adapt", backbone, "--family", family, "--train", data / "train.parquet"),
            *("--validation", data / "validation.parquet", "--test", data / "test.parquet"),
            *("--out", corpora / "apps" / family, "--epochs", 2, "--rows", 20),
        )
        assert result.code == 0, result.err
        record = json.loads((corpora / "apps" / family / "app.json").read_text())
        assert record["train_rows"] == 20
        assert f"{metric} {record['test'][metric]:.1f}" in result.err
        evaluated = run(
            *("evaluate", corpora / "apps" / family),
            *("--data", data / "test.parquet"),
        )
        intervals = {"intervals": record["test_intervals"]} if record["test_intervals"] else {}
        assert json.loads(evaluated.out) == {"app": family, **record["test"], **intervals}
    both = run("predict", corpora / "apps/ner", corpora / "apps/tc", "--text", "call ann in paris")
    (line,) = both.out.splitlines()
    found = json.loads(line)
    assert found["text"] == "call ann in paris"
    assert set(found["apps"]) == {"ner", "tc"}
    assert sum(found["apps"]["tc"]["probabilities"].values()) == pytest.approx(1, abs=1e-3)
    for entity in found["apps"]["ner"]["entities"]:
        assert found["text"][entity["start"] : entity["end"]] == entity["text"]


def test_apps_find_their_backbone_from_anywhere(
    run: Run, backbone: Path, corpora: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(corpora)
    assert adapt(run, "backbone", Path()).code == 0  # relative names
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert run("predict", corpora / "apps/tc", "--text", "play").code == 0
    backbone.rename(corpora / "moved")
    gone = run("predict", corpora / "apps/tc", "--text", "play")
    refused(gone, "which is gone: name its new place as backbone (--backbone FOLDER)")
    moved = run("predict", corpora / "apps/tc", "--text", "x", "--backbone", corpora / "moved")
    assert moved.code == 0


def test_a_bare_encoder_serves_as_a_backbone(
    run: Run, corpora: Path, tiny_encoder_folder: Any
) -> None:
    assert adapt(run, tiny_encoder_folder("electra"), corpora, "ner").code == 0
    assert run("predict", corpora / "apps/ner", "--text", "ann").code == 0


def test_texts_from_a_file_and_pretty_output(run: Run, backbone: Path, corpora: Path) -> None:
    adapt(run, backbone, corpora, "ner")
    adapt(run, backbone, corpora, "tc")
    texts = corpora / "texts.txt"
    texts.write_text("ann met bob in paris\nplay mum\n")
    result = run(
        *("predict", corpora / "apps/ner", corpora / "apps/tc", "--input", texts),
        *("--text", "first", "--format", "pretty"),
    )
    assert re.findall(r"^(first|ann met bob in paris|play mum)$", result.out, re.M) == [
        "first",
        "ann met bob in paris",
        "play mum",
    ]
    assert "\x1b" not in result.out


@pytest.mark.parametrize("text", ODD_TEXTS)
def test_odd_texts_have_a_well_defined_result(
    run: Run, backbone: Path, corpora: Path, text: str
) -> None:
    adapt(run, backbone, corpora, "ner")
    adapt(run, backbone, corpora, "tc")
    path = corpora / "texts.jsonl"
    path.write_text(json.dumps({"text": text}) + "\n")
    result = run("predict", corpora / "apps/ner", corpora / "apps/tc", "--input", path)
    assert result.code == 0, result.err
    found = json.loads(result.out)
    assert found["text"] == text
    assert len(found["apps"]["tc"]["labels"]) == bool(text.strip())
    for entity in found["apps"]["ner"]["entities"]:
        assert text[entity["start"] : entity["end"]] == entity["text"]


def test_a_long_text_is_read_to_its_end(run: Run, backbone: Path, corpora: Path) -> None:
    adapt(run, backbone, corpora, "ner")
    sentence = "ann met mum in paris "
    result = run("predict", corpora / "apps/ner", "--text", sentence * 2_000)
    assert result.code == 0
    found = json.loads(result.out)["apps"]["ner"]["entities"]
    starts = [entity["start"] for entity in found]
    assert starts == sorted(set(starts))
    assert starts[-1] >= len(sentence) * 1_999


def test_long_training_texts_are_counted(run: Run, backbone: Path, corpora: Path) -> None:
    table = {"text": ["play " * 10_000, "call bob"], "label": ["play", "call"]}
    pq.write_table(pa.table(table), corpora / "tc/app/train.parquet")
    result = adapt(run, backbone, corpora)
    assert result.code == 0
    assert "1 of 2 training texts are longer than 66 tokens" in result.err


def test_a_teacher_answers_texts_without_labels(run: Run, backbone: Path, corpora: Path) -> None:
    texts = corpora / "texts.txt"
    texts.write_text("ann met bob in paris\nplay mum\n")
    result = adapt(run, backbone, corpora, "ner", "--unlabelled", texts, "--epochs", 1)
    assert result.code == 0, result.err
    assert "taught by a LoRA on every layer on 2 more texts" in result.err
    record = json.loads((corpora / "apps/ner/app.json").read_text())
    assert (record["train_rows"], record["unlabelled_rows"]) == (24, 2)
    assert record["teacher"] == "a LoRA on every layer"
    (corpora / "apps/ner").rename(corpora / "apps/teacher")
    given = ("--unlabelled", texts, "--teacher", corpora / "apps/teacher")
    result = adapt(run, backbone, corpora, "ner", *given)
    assert result.code == 0, result.err
    assert "taught by" in result.err
    assert "teacher on 2 more texts" in " ".join(result.err.split())
    refused(adapt(run, backbone, corpora, "tc", *given), "is of family 'ner', not 'tc'")
    refused(adapt(run, backbone, corpora, "tc", *given[2:]), "pass some as unlabelled")
    more = ("--train", corpora / "tc/app/train.parquet", "--out", corpora / "apps/tc", "--auto")
    refused(run("adapt", backbone, "--family", "tc", *more, *given[:2]), "auto judges by labels")


# ------------------------------------------------------------------------------------ help


@pytest.mark.parametrize("verb", ["", "prefinetune", "adapt", "predict", "evaluate", "export"])
def test_help(run: Run, verb: str) -> None:
    result = run(*filter(None, [verb]), "--help")
    assert result.code == 0
    assert "Usage: onetrunk" in result.out
    if verb:
        assert f"Example: onetrunk {verb}" in " ".join(result.out.split())


def test_version(run: Run) -> None:
    assert run("--version").out == "onetrunk 0.1.0\n"


# ------------------------------------------------------------------------------------ bad input


def test_missing_and_empty_files(run: Run, backbone: Path, corpora: Path) -> None:
    train = corpora / "tc/app/train.parquet"
    refused(
        run("adapt", backbone, "--family", "tc", "--train", train.with_name("trian.parquet"),
            "--out", corpora / "apps/tc"),
        "no such file: ", "trian.parquet", "did you mean 'train.parquet'?",
    )  # fmt: skip
    train.write_bytes(b"")
    refused(adapt(run, backbone, corpora), f"{train} is empty (0 bytes)")
    assert nothing_left(corpora / "apps/tc")


def test_a_wrong_column(run: Run, backbone: Path, corpora: Path) -> None:
    path = corpora / "tc/app/train.parquet"
    pq.write_table(pa.table({"text": ["a"], "lable": ["b"]}), path)
    refused(adapt(run, backbone, corpora), str(path), "no column 'label'", "did you mean 'lable'?")


def test_ratings_and_several_labels(run: Run, backbone: Path, corpora: Path) -> None:
    ratings, tags = corpora / "stars.csv", corpora / "tags.jsonl"
    words = ["call", "play", "mum", "paris", "york"]
    rows = [" ".join((words * 2)[i : i + 1 + i % 4]) for i in range(5)]
    lines = [f"{text},{len(text.split())}" for text in rows]
    ratings.write_text("\n".join(["text,label", *lines, ""]))
    tags.write_text(
        "".join(json.dumps({"text": text, "labels": text.split()}) + "\n" for text in rows)
    )
    for family, data, said in (
        ("rating", ratings, "scale from 1 to 4"),
        ("multi-label", tags, "5 labels"),
    ):
        made = run(
            *("adapt", backbone, "--family", family, "--train", data, "--test", data),
            *("--adapter", "linear", "--out", corpora / family),
        )  # fmt: skip
        assert made.code == 0, made.err
        assert said in made.err + made.out
    both = run("predict", corpora / "rating", corpora / "multi-label", "--text", "play mum")
    found = json.loads(both.out)["apps"]
    assert 1 <= found["rating"]["value"] <= 4
    assert set(found["multi-label"]["probabilities"]) == set(words)
    scores = json.loads(run("evaluate", corpora / "rating", "--data", ratings).out)
    assert {"spearman", "pearson", "mae", "kappa"} <= set(scores)
    ratings.write_text(ratings.read_text() + "x,many\n")
    for verb in (
        ["evaluate", corpora / "rating", "--data"],
        ["adapt", backbone, "--family", "rating", "--out", corpora / "no", "--train"],
    ):
        refused(run(*verb, ratings), "stars.csv:7", "'many'", "is no number")


def test_a_label_that_training_never_saw(run: Run, backbone: Path, corpora: Path) -> None:
    path = corpora / "tc/app/test.parquet"
    pq.write_table(pa.table({"text": ["a", "b"], "label": ["play", "plai"]}), path)
    refused(
        adapt(run, backbone, corpora, "tc", "--test", path),
        f"{path}, row 2: label 'plai' never occurs in training; did you mean 'play'?",
    )


@pytest.mark.parametrize(
    ("tokens", "tags", "message"),
    [
        (["a", "b"], ["O"], "row 1: 2 tokens but 1 ner_tags"),
        (list("abc"), ["B-X", "O", "I-X"], "row 1: tag 3 'I-X' does not continue an entity"),
        (["a"], ["X"], "row 1: tag 1 'X' is not O, B-type or I-type"),
    ],
)
def test_malformed_tags(
    run: Run, backbone: Path, corpora: Path, tokens: list[str], tags: list[str], message: str
) -> None:
    path = corpora / "ner/app/train.parquet"
    pq.write_table(pa.table({"tokens": [tokens], "ner_tags": [tags]}), path)
    refused(adapt(run, backbone, corpora, "ner"), f"{path}, {message}")
    assert nothing_left(corpora / "apps/ner")


def test_a_converted_scheme_is_said(run: Run, backbone: Path, corpora: Path) -> None:
    path = corpora / "ner/app/train.conll"
    path.write_text("ann I-who\nmet O\nbob I-who\n\nmum O\n" * 5)
    result = run(
        *("adapt", backbone, "--family", "ner", "--train", path, "--adapter", "linear"),
        *("--shots", 4, "--out", corpora / "apps/ner"),
    )
    assert result.code == 0
    assert "IOB1 tags converted to IOB2" in result.err
    assert len(json.loads((corpora / "apps/ner/rows.json").read_text())["ids"]) == 2


def test_an_app_on_another_backbone(
    run: Run, backbone: Path, corpora: Path, tiny_encoder_folder: Any
) -> None:
    adapt(run, backbone, corpora)
    other = tiny_encoder_folder("bert", seed=1)
    refused(
        run("predict", corpora / "apps/tc", "--text", "x", "--backbone", other),
        "was trained on", "not on", str(other),
    )  # fmt: skip


def test_bad_recipes(run: Run, recipe: Path, corpora: Path) -> None:
    out = corpora / "out"
    good = recipe.read_text()
    recipe.write_text(good + "stpes: 3\n")
    refused(
        run("prefinetune", recipe, "--out", out),
        f"{recipe}: unknown key 'stpes'; did you mean 'steps'?",
    )
    recipe.write_text(good)
    refused(run("prefinetune", recipe, "--out", out, "--steps", 0), "steps: ", "(got 0)")
    refused(
        run("prefinetune", recipe, "--out", out, "--strategy", "tlp"), "'tlp'; did you mean 'tpl'"
    )
    recipe.write_text(good.replace("pre_ner/a", "pre_ner/z"))
    refused(run("prefinetune", recipe, "--out", out), "no such file: ", "pre_ner/z")
    assert nothing_left(out)


def test_a_seed_that_generators_do_not_take(run: Run, corpora: Path) -> None:
    recipe, out = corpora / "big.yaml", corpora / "big"
    recipe.write_text("encoder: e\nfamilies: {}\n")
    ran = run("prefinetune", recipe, "--out", out, "--seed", 10**30)
    refused(ran, "big.yaml: seed: ", f"less than {2**63}", f"got {10**30}")
    assert nothing_left(out)


def test_unknown_encoders(run: Run, corpora: Path) -> None:
    refused(adapt(run, corpora / "nope", corpora), "no such folder: ", "nope")
    refused(adapt(run, "package:nope", corpora), "no installed package 'nope'")


@pytest.mark.parametrize(
    ("more", "parts"),
    [
        (("--adapter", "lroa"), ["adapter 'lroa' is unknown", "did you mean 'lora'?"]),
        (("--rows", 1000), ["rows 1000: the training file has 24 rows"]),
        (("--epochs", 0), ["epochs 0: must be at least 1"]),
        (("--k", 9, "--adapter", "lora"), ["k 9: the encoder has 3 layers"]),
        (("--k", 0, "--adapter", "lora"), ["k 0: the encoder has 3 layers; choose 1 to 3"]),
        (("--seed", 10**30), [f"seed {10**30}: must be at most {2**63 - 1}"]),
        (("--rank", 10**9), ["rank 1000000000: must be at most 10000"]),
    ],
)
def test_bad_options(
    run: Run, backbone: Path, corpora: Path, more: tuple[object, ...], parts: list[str]
) -> None:
    refused(adapt(run, backbone, corpora, "tc", *more), *parts)


def test_an_unknown_family_and_an_unknown_format(run: Run, backbone: Path, corpora: Path) -> None:
    train, out = corpora / "tc/app/train.parquet", corpora / "apps/x"
    wrong = run("adapt", backbone, "--family", "nre", "--train", train, "--out", out)
    refused(wrong, "unknown task family 'nre'; did you mean 'ner'?")
    refused(run("predict", corpora, "--text", "x", "--format", "json"), "did you mean 'jsonl'?")
    refused(run("predict", corpora), "is not an app folder: it has no app.json")
    refused(run("predict", corpora, "--text", "x"), "is not an app folder: it has no app.json")


def test_an_existing_folder_is_not_overwritten_unasked(
    run: Run, backbone: Path, corpora: Path
) -> None:
    assert adapt(run, backbone, corpora).code == 0
    before = (corpora / "apps/tc/app.json").read_bytes()
    refused(adapt(run, backbone, corpora), "already exists", "--overwrite")
    assert (corpora / "apps/tc/app.json").read_bytes() == before
    assert adapt(run, backbone, corpora, "tc", "--overwrite", "--rows", 10).code == 0
    assert json.loads((corpora / "apps/tc/app.json").read_text())["train_rows"] == 10


def test_control_c(run: Run, recipe: Path, corpora: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Trainer, "step", interrupt)
    result = run("prefinetune", recipe, "--out", corpora / "out")
    assert result.code == 130
    assert result.err.splitlines()[-1] == "interrupted: nothing was written"
    assert nothing_left(corpora / "out")


def test_control_c_in_training_says_how_to_go_on(
    run: Run, recipe: Path, corpora: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = Trainer.step

    def interrupt(self: Trainer, number: int) -> Any:
        if number == 0:
            os.kill(os.getpid(), signal.SIGINT)
        return step(self, number)

    monkeypatch.setattr(Trainer, "step", interrupt)
    out = corpora / "out"
    result = run("prefinetune", recipe, "--out", out)
    assert result.code == 130
    checkpoint = f"{out}.checkpoints/step-000001"
    assert result.err.splitlines()[-1] == (
        f"interrupted: {checkpoint} is kept; the same run with resume goes on from there"
    )
    refused(run("prefinetune", recipe, "--out", out), checkpoint, "set resume", "overwrite")
    refused(
        run("prefinetune", recipe, "--out", out, "--resume", "--steps", 3), "steps was 2, now 3"
    )
    result = run("prefinetune", recipe, "--out", out, "--resume")
    assert result.code == 0
    assert f"going on from {checkpoint}: 1 steps are done" in result.err
    assert not Path(f"{out}.checkpoints").exists()


@pytest.mark.parametrize("every", ["0", "-3", "5x", "m", "1.5h", ""])
def test_checkpoint_every(run: Run, recipe: Path, corpora: Path, every: str) -> None:
    refused(
        run("prefinetune", recipe, "--out", corpora / "out", "--checkpoint-every", every),
        f"--checkpoint-every {every!r}: a number of steps (200) or a time (30s, 5m, 2h) is meant",
    )


def test_killed_and_resumed(
    run: Run, recipe: Path, corpora: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Invariant 7 with a process that has no chance to say goodbye."""
    more = "steps: 14\nthreads: 1"  # two spin where a machine is busy
    recipe.write_text(recipe.read_text().replace("steps: 2", more))
    out = corpora / "out"
    log = Path(f"{out}.checkpoints/training.jsonl")
    options = ["prefinetune", recipe, "--out", out, "--checkpoint-every", "4"]
    step = Trainer.step
    with monkeypatch.context() as slow:  # so that it is not over before it is killed
        slow.setattr(Trainer, "step", lambda self, number: (time.sleep(0.1), step(self, number))[1])
        process = multiprocessing.get_context("fork").Process(target=run, args=options)
        process.start()
    while not (log.exists() and log.read_bytes().count(b"\n") >= 6):
        assert process.is_alive()
        time.sleep(0.01)
    process.kill()
    process.join()
    assert not out.exists()
    assert run(*options, "--resume").code == 0
    assert run("prefinetune", recipe, "--out", corpora / "whole").code == 0
    results = [Backbone.load(folder) for folder in (out, corpora / "whole")]
    assert results[0].fingerprint == results[1].fingerprint
    for family, adapter in results[0].primary_loras.items():
        for place, pair in adapter.matrices.items():
            for one, other in zip(
                pair, results[1].primary_loras[family].matrices[place], strict=True
            ):
                assert one.equal(other), (family, place)
    logs = [(folder / "training.jsonl").read_text() for folder in (out, corpora / "whole")]
    lines = [[json.loads(line) | {"seconds": 0} for line in text.splitlines()] for text in logs]
    assert lines[0] == lines[1]
    assert [line["step"] for line in lines[0]] == list(range(14))


def test_off_a_terminal_a_line_shows_every_20th_step(run: Run, recipe: Path, corpora: Path) -> None:
    recipe.write_text(recipe.read_text().replace("steps: 2", "steps: 45"))
    result = run("prefinetune", recipe, "--out", corpora / "out")
    note, *lines, bar, wrote = result.err.splitlines()
    assert note.startswith("note: duplicate rows (same text and labels): ")
    shown = r"  ner \d+\.\d{3}  tc \d+\.\d{3}  [\d,]+ tok/s, 0% padding  ETA \d+ s"
    for line, step in zip(lines, (20, 40), strict=True):
        assert re.fullmatch(rf"step {step}/45{shown}", line)
    assert bar.startswith("pre-finetune tpl ")
    assert wrote.startswith(f"wrote {corpora / 'out'}  strategy tpl, 45 steps, ")


def test_a_usage_error_exits_with_2(run: Run) -> None:
    result = run("adapt", "--nope")
    assert result.code == 2
    assert "No such option: --nope" in result.err


def test_what_the_system_refuses_is_one_line(run: Run, tmp_path: Path) -> None:
    out = tmp_path / ("a" * 300)
    result = run("adapt", "x", "--family", "tc", "--train", tmp_path, "--out", out)
    assert result.code == 2
    assert result.err == f"error: {out}: File name too long\n"
