"""``onetrunk adapt --none-below`` and ``--wanted-precision``, and what ``predict`` then shows."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

Run = Callable[..., Any]


@pytest.fixture
def adapt(run: Run, corpora: Path, tiny_encoder_folder: Any) -> Callable[..., Any]:
    """``adapt(option, …)``: a linear app of text classification in ``app``."""
    data = corpora / "tc/app"
    return lambda *more: run(
        *("adapt", tiny_encoder_folder("bert"), "--family", "tc", "--out", corpora / "app"),
        *("--train", data / "train.parquet", "--adapter", "linear", "--overwrite", *more),
    )


def test_a_threshold_is_set_or_chosen(adapt: Any, run: Run, corpora: Path) -> None:
    rows = pq.read_table(corpora / "tc/app/test.parquet").to_pylist()
    swapped = {"call": "play", "play": "call"}
    for row in rows[::4]:
        row["label"] = swapped[row["label"]]
    pq.write_table(pa.Table.from_pylist(rows), corpora / "validation.parquet")
    validation = ("--validation", corpora / "validation.parquet")
    record = corpora / "app/app.json"
    named = adapt("--none-below", 0.7)
    assert named.code == 0, named.err
    assert "answers less probable than 0.7 are not given" in named.err
    assert json.loads(record.read_text())["none_below"] == 0.7
    chosen = adapt("--wanted-precision", 80, *validation)
    assert chosen.code == 0, chosen.err
    written = json.loads(record.read_text())
    said = written["abstention"]
    assert (said["wanted_precision"], said["what"], said["of"]) == (80, "rows", 12)
    words = " ".join(chosen.err.split())
    assert f"answers less probable than {written['none_below']:.4g} are not given" in words
    assert f"{said['precision']:.1f} % of the answers given are right" in words
    assert f"{100 * said['given'] / 12:.1f} % of the 12 rows have one" in words
    assert said["given"] < 12
    all_given = adapt("--wanted-precision", 1, *validation)
    assert "no threshold is needed: with every answer" in " ".join(all_given.err.split())
    written = json.loads(record.read_text())
    assert (written["none_below"], written["abstention"]["given"]) == (0, 12)
    refused = {
        ("--wanted-precision", 95): (
            "on validation rows, and there are none: pass some as validation (--validation FILE), "
            "or name a threshold as none_below (--none-below 0.7)"
        ),
        ("--none-below", 70): "did you mean 0.7?",
        ("--none-below", 0.5, "--wanted-precision", 95): "leave one of them out",
    }
    for options, why in refused.items():
        result = adapt(*options)
        assert result.code == 2
        (line,) = [line for line in result.err.splitlines() if line.startswith("error: ")]
        assert why in line
        assert json.loads(record.read_text()) == written  # the app before is still there


def test_what_predict_shows(adapt: Any, run: Run, corpora: Path) -> None:
    app, texts = corpora / "app", corpora / "texts.csv"
    texts.write_text('id,text\n1,call ann\n2,"  "\n')
    assert adapt("--none-below", 0.999999).code == 0
    shown = run("predict", app, "--input", texts, "--format", "pretty").out
    assert "(no label: not sure)" in shown
    assert "(no label: empty text)" in shown
    lines = run("predict", app, "--input", texts).out.splitlines()
    answers = [json.loads(line)["apps"]["app"] for line in lines]
    assert [answer["labels"] for answer in answers] == [[], []]
    assert all(answer["abstained"] for answer in answers)
    assert set(answers[0]["probabilities"]) == {"call", "play"}
    assert run("predict", app, "--input", texts, "--out", corpora / "out.csv").code == 0
    rows = [*csv.DictReader((corpora / "out.csv").open(newline=""))]
    cells = [row[name] for row in rows for name in ("app", "app.probability", "error")]
    assert cells == [""] * 6
    assert run("predict", app, "--input", texts, "--out", corpora / "out.parquet").code == 0
    columns = pq.read_table(corpora / "out.parquet")
    assert columns["app"].to_pylist() == columns["app.probability"].to_pylist() == [None, None]
    scored = run("evaluate", app, "--data", corpora / "tc/app/test.parquet", "--out", corpora / "r")
    scores = json.loads(scored.out)
    assert (scores["accuracy"], scores["answered"], scores["accuracy_answered"]) == (0, 0, 0)
    assert (corpora / "r/index.html").exists()
