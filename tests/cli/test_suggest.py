import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from onetrunk.apps.preannotations import TOOLS
from onetrunk.data.rows import AnnotatedText, LabelledText
from onetrunk.data.sources import read_classification, read_ner

FIXTURES = Path(__file__).parents[1] / "fixtures" / "format-0.1"
APP = FIXTURES / "apps/intent"
Run = Callable[..., Any]
TEXT, ROW = "Ada met Bo", {"id": 7}
ENTITIES = {"entities": [{"start": 0, "end": 3, "text": "Ada", "type": "P", "score": 0.9}]}


@pytest.mark.parametrize("tool", TOOLS)
def test_what_people_accept_is_read_again(tmp_path: Path, tool: str) -> None:
    """What comes back if every answer is right, by our readers of these tools."""
    file = tmp_path / ("a.json" if tool == "label-studio" else "a.jsonl")

    def returned(answer: dict[str, Any]) -> Path:
        task = TOOLS[tool](TEXT, answer, ROW, 0.5)
        if tool == "label-studio":
            task["annotations"] = task.pop("predictions")
        file.write_text(json.dumps([task] if tool == "label-studio" else task) + "\n")
        return file

    assert read_ner(returned(ENTITIES)) == [AnnotatedText(TEXT, ((0, 3, "P"),))]
    labels = returned({"labels": ["x"], "probabilities": {"x": 1.0}})
    assert read_classification(labels) == [LabelledText(TEXT, ("x",))]
    task = TOOLS[tool](TEXT, ENTITIES, ROW, 0.5)
    assert 7 in (task.get("id"), task.get("data", {}).get("id"), task.get("meta", {}).get("id"))


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("answer", [ENTITIES, {"labels": ["x"], "probabilities": {"x": 1.0}}])
def test_other_columns_are_kept_and_change_nothing(
    tmp_path: Path, tool: str, answer: dict[str, Any]
) -> None:
    """Whatever they are called: each value is in the file, and the file is read as without them."""
    names = (
        "label", "labels", "spans", "entities", "answer", "status", "accept", "options", "choices",
        "cats", "tokens", "ner_tags", "word", "token", "relations", "span_groups", "data",
        "annotations", "annotator", "paragraphs", "split", "score", "meta", "input_score",
        "input_label", "id", "title",
    )  # fmt: skip
    row = {name: f"Bo's {name}" for name in names}
    row |= {"answer": "ignore", "status": "discarded"}
    task = TOOLS[tool](TEXT, answer, row, 0.5)
    kept = task["data"] if tool == "label-studio" else task["meta"]
    assert set(row.values()) <= set(map(str, kept.values()))
    assert kept["title"] == row["title"]
    if tool == "label-studio":
        task["annotations"] = task.pop("predictions")
    file = tmp_path / ("a.json" if tool == "label-studio" else "a.jsonl")
    file.write_text(json.dumps([task] if tool == "label-studio" else task) + "\n")
    if answer is ENTITIES:
        assert read_ner(file) == [AnnotatedText(TEXT, ((0, 3, "P"),))]
    else:
        assert read_classification(file) == [LabelledText(TEXT, ("x",))]


def test_the_short_export_of_label_studio_has_no_label_of_the_input() -> None:
    """It has the keys of the task beside the labels of the annotator, who may give none."""
    task = TOOLS["label-studio"](TEXT, ENTITIES, {"label": "gold", "id": 7}, 0.5)
    assert task["data"] == {"text": TEXT, "input_label": "gold", "id": 7}


def test_a_file_for_a_tool(run: Run, tmp_path: Path) -> None:
    texts = tmp_path / "mails.csv"
    texts.write_text("id,Message\n" + "".join(f"{n},play song {n}\n" for n in range(20)) + "20,\n")
    out = tmp_path / "next.json"
    result = run("suggest", APP, "--input", texts, "-n", "5", "--out", out)
    assert result.code == 0, result.err
    assert "5 of 21 texts for label-studio" in result.err
    tasks = json.loads(out.read_text())
    assert len({task["data"]["id"] for task in tasks}) == 5
    assert all(task["data"]["text"].startswith("play song") for task in tasks)
    assert all(task["predictions"][0]["result"] for task in tasks)
    again = run("suggest", APP, "--input", texts, "-n", "5", "--out", out)
    assert again.code == 2
    itself = run("suggest", APP, "--input", out, "-n", "1", "--out", out, "--overwrite")
    assert itself.code == 2
    assert "next.json is the file of texts" in itself.err
    assert json.loads(out.read_text()) == tasks
    lines = tmp_path / "next.jsonl"
    assert run("suggest", APP, "--input", texts, "--out", lines, "--for", "doccano").code == 0
    assert len(lines.read_text().splitlines()) == 20
    for options in (("--for", "docano", "--out", lines), ("--for", "prodigy", "--out", out)):
        refused = run("suggest", APP, "--input", texts, *options, "--overwrite")
        assert refused.code == 2
        assert "did you mean 'doccano'" in refused.err or "ends in .jsonl" in refused.err
