import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

Run = Callable[..., Any]


def test_a_spreadsheet(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "tickets.csv"
    rows = [f"it broke {number},[red]late" for number in range(9)] + ["pay me,Bill", "pay me,bill"]
    file.write_text("Message,Intent\n" + "\n".join(rows) + "\n")
    result = run("data", file)
    assert result.code == 0
    assert f"11 rows of tc in {file}" in result.out
    assert "[red]late" in result.out
    assert "labels that differ from another only by case or space: 1" in result.out
    assert "decide on one answer for each text" in result.out
    seen = json.loads(run("data", file, "--json").out)
    assert seen["labels"] == {"[red]late": 9, "Bill": 1, "bill": 1}
    assert run("data", file, "--label-column", "Intend").code == 2


def test_ratings_and_entities(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "stars.jsonl"
    file.write_text('{"text": "a", "label": 1.5}\n{"text": "b", "label": 4}\n')
    assert "values: 1.5 to 4, 2 different ones" in run("data", file).out
    file.write_text('{"text": "Ada left", "spans": [[0, 3, "P"]]}\n{"text": "who", "spans": []}\n')
    out = run("data", file).out
    assert "rows without a label or entity: 1" in out
    assert "entities" in out


def test_rows_that_the_family_cannot_use_are_an_error(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("text,label\na,1\n\nb,lost\n")
    refused = run("data", file, "--family", "rating")
    assert refused.code == 2
    assert "a.csv:4: ['lost'] is no number" in refused.err.replace("\n", "")
    refused = run("data", file, "--doubts", "3")
    assert refused.code == 2
    assert "--doubts needs --backbone" in refused.err


def test_labels_that_may_be_wrong(run: Run, tmp_path: Path, tiny_encoder_folder: Any) -> None:
    rows = [f"{verb},{verb} {thing} {n}" for n in range(9)
            for verb, thing in (("call", "mum"), ("play", "york"))]  # fmt: skip
    file = tmp_path / "a.csv"
    file.write_text("\n".join(["label,text", *rows, "play,call mum now"]) + "\n")
    options = ("data", file, "--backbone", tiny_encoder_folder(), "--doubts", "2")
    result = run(*options)
    assert result.code == 0, result.err
    line = next(line for line in result.out.splitlines() if "call mum now" in line)
    assert line.split()[:4] == ["20", line.split()[1], "play", "call"]  # the header is line 1
    first, second = json.loads(run(*options, "--json").out)["doubts"]
    assert (first["row"], first["labelled"], first["likely"]) == (19, ["play"], ["call"])
    assert first["place"] == "20"
    assert first["doubt"] >= second["doubt"]
    file.write_text("\n".join(["label,text", *rows]) + "\n")
    assert "no label looks wrong" in run(*options).out
