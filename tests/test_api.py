"""The public names: the reference's lines run, and a name costs what it needs and no more."""

from __future__ import annotations

import json
import pkgutil
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

import onetrunk
from onetrunk.errors import UserError

ROOT = Path(__file__).parents[1]
TEXT = "book a table in Oslo for Friday"


def python(code: str, *options: str) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run(
        [sys.executable, *options, "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def conll(path: Path, rows: list[tuple[list[str], list[str]]]) -> None:
    """Write sentences as CoNLL columns."""
    blocks = ["".join(f"{w} {t}\n" for w, t in zip(*row, strict=True)) for row in rows]
    path.write_text("\n".join(blocks))


@pytest.fixture
def desk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_encoder_folder: Callable[..., Path],
    corpora: Path,
) -> Path:  # fmt: skip
    """A folder with what the example reads: a recipe and labelled files."""
    families = {
        "ner": {"batch_size": 4, "sources": [{"path": str(corpora / "pre_ner/a")}]},
        "tc": {"batch_size": 4, "sources": [{"path": str(corpora / "pre_pairs/c")}]},
    }
    recipe = {"encoder": str(tiny_encoder_folder("bert")), "steps": 2, "k": 2, "precision": "fp32"}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump({**recipe, "families": families}))
    rows = [(["met", who, "in", "paris"], ["O", "B-PER", "O", "B-LOC"]) for who in "abcdefgh"]
    for name in ("train", "dev", "test"):
        conll(tmp_path / f"{name}.conll", rows)
    lines = [f"{verb} {who},{verb}" for verb in ("play", "call") for who in "abcdefgh"]
    (tmp_path / "intents.csv").write_text("\n".join(["text,label", *lines]) + "\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_lines_of_the_reference_run(desk: Path, capsys: Any) -> None:
    (code, *_) = re.findall(
        r"```python\n(.*?)```", (ROOT / "docs/reference.md").read_text(), re.DOTALL
    )
    assert "import onetrunk" in code
    names: dict[str, Any] = {}
    exec(compile(code, "reference.md", "exec"), names)
    assert isinstance(names["backbone"], onetrunk.Backbone)
    assert isinstance(names["app"], onetrunk.App)
    assert (desk / "apps/news/app.json").exists()
    assert (desk / "phone/bundle.json").exists()
    assert isinstance(names["model"], onetrunk.Runtime)


def test_names_are_bound_when_they_are_used() -> None:
    code = "import onetrunk, sys; print([m for m in ('torch', 'numpy') if m in sys.modules])"
    assert python(code).strip() == "[]"
    assert set(onetrunk.__all__) <= set(dir(onetrunk))
    for name in onetrunk.__all__:
        assert getattr(onetrunk, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'adpat'"):
        onetrunk.adpat  # noqa: B018


def test_importing_takes_less_than_a_tenth_of_a_second() -> None:
    lines = python("import onetrunk", "-X", "importtime").splitlines()
    (line,) = (line for line in lines if line.endswith(" onetrunk"))
    assert int(line.split("|")[1]) < 100_000  # microseconds, with all that it imports


def test_the_api_stays_when_modules_of_the_package_are_imported() -> None:
    """A module that is imported is bound in its package: none has the name of something public."""
    modules = {module.name for module in pkgutil.iter_modules(onetrunk.__path__)}
    assert {"adaptation", "bundle"} < modules
    assert not modules & set(onetrunk.__all__)


def test_a_bundle_is_predicted_without_torch_and_fast() -> None:
    bundle = ROOT / "tests/fixtures/format-0.1/bundle"
    code = (
        "import sys, time; start = time.perf_counter(); from onetrunk import cli\n"
        f"sys.argv = ['onetrunk', 'predict', {str(bundle)!r}, '--text', 'call dora']\n"
        "try: cli.main()\n"
        "except SystemExit: pass\n"
        "heavy = ('torch', 'transformers', 'pyarrow', 'scipy', 'sklearn', 'datasets', 'pandas')\n"
        "print([name for name in heavy if name in sys.modules], file=sys.stderr)\n"
    )
    out = python(code)
    assert "[]" in out.splitlines()[-1], out
    assert json.loads(out.splitlines()[0])["text"] == "call dora"


def test_help_imports_nothing_that_it_does_not_show() -> None:
    code = (
        "import sys; from onetrunk import cli; sys.argv = ['onetrunk', 'adapt', '--help']\n"
        "try: cli.main()\n"
        "except SystemExit: pass\n"
        "heavy = ('torch', 'numpy', 'pyarrow', 'onnxruntime', 'rich.progress', 'httpx')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    assert python(code).strip().splitlines()[-1] == "[]"


def test_to_adapt_imports_nothing_that_it_does_not_use(desk: Path) -> None:
    """Beside PyTorch and what transformers imports by itself: that is 3 seconds."""
    encoder = yaml.safe_load((desk / "recipe.yaml").read_text())["encoder"]
    code = (
        "import sys; from onetrunk import cli\n"
        f"sys.argv = ['onetrunk', 'adapt', {encoder!r}, '--family', 'tc', '--train', 'intents.csv',"
        " '--out', 'app']\n"
        "try: cli.main()\n"
        "except SystemExit as end: assert not end.code\n"
        "heavy = ('pyarrow', 'pandas', 'datasets', 'sklearn', 'rensa', 'matplotlib', 'onnx',\n"
        "         'onnxruntime', 'openpyxl', 'onetrunk.prefinetuning', 'onetrunk.bundle.export')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    assert "[]" in python(code).splitlines()
    assert (desk / "app/app.json").exists()


def test_rows_come_from_files_lists_and_tables(desk: Path) -> None:
    backbone = onetrunk.prefinetune("recipe.yaml", out="runs/tpl")
    frame = pd.read_csv("intents.csv")
    pairs = list(zip(frame.text, frame.label, strict=True))
    rows = frame.to_dict("records")
    apps = [
        onetrunk.adapt(backbone, "tc", train=train, adapter="linear", precision="fp32")
        for train in ("intents.csv", Path("intents.csv"), frame, pairs, rows)
    ]
    for app in apps[1:]:
        assert np.array_equal(app.head.weight.numpy(), apps[0].head.weight.numpy())
    assert apps[0].evaluate("intents.csv").scores == apps[0].evaluate(frame).scores
    answer = apps[0].predict("play a")
    assert answer["labels"] == ["play"]
    assert apps[0].predict(["play a", "call a"])[0] == answer


def test_the_split_that_is_named_is_the_split_that_is_read(desk: Path) -> None:
    """Whoever scores a folder scores its test rows: here every label of them is swapped."""
    folder = desk / "split"
    folder.mkdir()
    texts = [(f"{verb} {who}", verb) for verb in ("play", "call") for who in "abcdefgh"]
    swap = {"play": "call", "call": "play"}
    for split, of in (("train", {}), ("test", swap), ("validation", swap)):
        rows = [json.dumps({"text": text, "label": of.get(label, label)}) for text, label in texts]
        (folder / f"{split}.jsonl").write_text("\n".join(rows) + "\n")
    encoder = yaml.safe_load((desk / "recipe.yaml").read_text())["encoder"]
    options: dict[str, Any] = {"adapter": "linear", "precision": "fp32"}
    app = onetrunk.adapt(encoder, "tc", train="split", test="split", **options)
    assert app.record["test"]["accuracy"] == 0
    assert app.evaluate(folder).accuracy == 0
    assert app.evaluate(folder / "train.jsonl").accuracy == 100
    app.save("apps/verbs")
    exported = onetrunk.export(["apps/verbs"], "phone", check={"verbs": "split"})
    assert exported.scores["verbs"] == (0, 0)


def test_wrong_options_name_the_nearest(desk: Path) -> None:
    encoder = yaml.safe_load((desk / "recipe.yaml").read_text())["encoder"]
    with pytest.raises(UserError, match="adapt has no option 'epoch'; did you mean 'epochs'"):
        onetrunk.adapt(encoder, "tc", train="intents.csv", epoch=3)
    with pytest.raises(UserError, match="unknown task family 'nre'; did you mean 'ner'"):
        onetrunk.adapt(encoder, "nre", train="intents.csv")
    with pytest.raises(UserError, match=r"no such file: intent\.csv; did you mean .intents\.csv."):
        onetrunk.adapt(encoder, "tc", train="intent.csv")
    with pytest.raises(UserError, match="apps/none"):
        onetrunk.load("apps/none")
    with pytest.raises(UserError, match="no apps: pass app folders"):
        onetrunk.load()


def test_only_what_onetrunk_wrote_is_replaced(desk: Path) -> None:
    encoder = yaml.safe_load((desk / "recipe.yaml").read_text())["encoder"]
    app = onetrunk.adapt(encoder, "tc", train="intents.csv", adapter="linear", precision="fp32")
    (desk / "precious").mkdir()
    (desk / "precious/thesis.txt").write_text("years of work")
    for write in (app.save, lambda path, overwrite: onetrunk.export({"a": app}, path, **overwrite)):
        more = True if write == app.save else {"overwrite": True}
        with pytest.raises(UserError, match="onetrunk did not write it and does not replace it"):
            write("precious", more)  # type: ignore[operator]
    assert (desk / "precious/thesis.txt").read_text() == "years of work"
    app.save("apps/verbs")
    with pytest.raises(UserError, match="already exists"):
        app.save("apps/verbs")
    app.save("apps/verbs", overwrite=True)
    with pytest.raises(UserError, match=r"is a file, so .* cannot be a folder in it"):
        app.save("intents.csv/app")
    with pytest.raises(UserError, match="the folder that you are in"):
        app.save(".", overwrite=True)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"head_lr": float("nan")}, "head_lr nan: must be a number, 0 or more"),
        ({"l2": -1.0}, "l2 -1.0: must be a number"),
        ({"max_length": 2}, "max_length 2: must be at least 8"),
        ({"epochs": 2.5}, "epochs 2.5: must be a whole number"),
        ({"l2": "x"}, "l2 'x': must be a number, 0 or more"),
        ({"seed": "x"}, "seed 'x': must be a whole number"),
        ({"seed": True}, "seed True: must be a whole number"),
        ({"seed": 2**63}, "seed 9223372036854775808: must be at most 9223372036854775807"),
        ({"batch_size": 10**9}, "batch_size 1000000000: must be at most 100000"),
        ({"batch_size": None}, "batch_size None: must be a whole number"),
        ({"rank": 10**6}, "rank 1000000: must be at most 10000"),
        ({"max_length": 10**6}, "max_length 1000000: must be at most 100000"),
        ({"k": 10**30}, f"k {10**30}: must be at most 1000"),
        ({"head_layers": 1001}, "head_layers 1001: must be at most 1000"),
        ({"epochs": 10**10}, "epochs 10000000000: must be at most 1000000000"),
        ({"patience": -1}, "patience -1: must be at least 1"),
        ({"alpha": True}, "alpha True: must be a number, 0 or more"),
        ({"rows": True}, "rows True: must be a whole number"),
        ({"seed": -1}, "seed -1: must be at least 0"),
        ({"adapter": "lorra"}, "did you mean 'lora'"),
    ],
)
def test_settings_that_cannot_train_are_refused(options: dict[str, Any], why: str) -> None:
    with pytest.raises(UserError, match=why):
        onetrunk.adapt("nowhere", "tc", [("a", "x"), ("b", "y")], **options)


def test_ratings_are_numbers_in_every_format(desk: Path) -> None:
    encoder = yaml.safe_load((desk / "recipe.yaml").read_text())["encoder"]
    rows = [("call a", 1.25), ("play b", 4.123456789), ("call c", 1.25), ("play d", 4.0)] * 3
    frame = pd.DataFrame(rows, columns=["text", "label"])
    frame.to_csv("ratings.csv", index=False)
    frame.to_json("ratings.jsonl", orient="records", lines=True, double_precision=12)
    frame.to_parquet("ratings.parquet")
    options: dict[str, Any] = {"adapter": "linear", "precision": "fp32"}
    sources = [rows, frame, "ratings.csv", "ratings.jsonl", "ratings.parquet"]
    apps = [onetrunk.adapt(encoder, "rating", source, **options) for source in sources]
    assert all(app.labels == ["1.25", "4.123456789"] for app in apps)
    with pytest.raises(UserError, match="a string or an integer"):
        onetrunk.adapt(encoder, "tc", rows)


def test_rows_that_are_learnt_and_judged_are_noted(desk: Path, caplog: Any) -> None:
    encoder = yaml.safe_load((desk / "recipe.yaml").read_text())["encoder"]
    options: dict[str, Any] = {"adapter": "linear", "precision": "fp32"}
    onetrunk.adapt(encoder, "tc", "intents.csv", test="intents.csv", **options)
    assert "test texts that are training texts, too: scores on them mean little: 16" in caplog.text
