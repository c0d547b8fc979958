"""Support tickets in the tables that people label: each makes the same app, by one command."""

import csv
import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file

import onetrunk

openpyxl = pytest.importorskip("openpyxl")

Run = Callable[..., Any]
Ticket = tuple[str, dict[str, str]]
TYPES = ("product", "order id", "date")


def tickets() -> list[Ticket]:
    """Forty texts of words with single spaces between, so that token rows give the same texts."""
    rng = random.Random(3)
    rows = []
    for number in range(40):
        product = rng.choice(["Nova Kettle", "Orbit", "Café Mini", "Tide 300"])
        order, date = f"A-{1000 + number}", f"{rng.randint(1, 28)} May"
        text, named = rng.choice(
            [
                (f"my {product} from order {order} broke on {date}", TYPES),
                (f"where is {order} , due on {date} ?", TYPES[1:]),
                (f"the {product} does not start , case {number}", TYPES[:1]),
                (f"hello , ticket {number} : please call me", ()),
                (f"{product} or {product} , which of {order} is it ?", TYPES[:2]),
            ]
        )
        values = dict(zip(TYPES, (product, order, date), strict=True))
        rows.append((text, {name: values[name] for name in named}))
    return rows


def spans(ticket: Ticket) -> list[list[Any]]:
    text, values = ticket
    found = []
    for name, value in values.items():
        start = text.find(value)
        while start >= 0:
            found.append([start, start + len(value), name])
            start = text.find(value, start + 1)
    return sorted(found)


def token_rows(rows: Sequence[Ticket]) -> list[list[Any]]:
    table: list[list[Any]] = [["Sentence #", "Word", "Tag"]]
    for number, ticket in enumerate(rows, 1):
        at, of_ticket = 0, spans(ticket)
        for word in ticket[0].split(" "):
            inside = [span for span in of_ticket if span[0] <= at < span[1]]
            tag = f"{'BI'[at > inside[0][0]]}-{inside[0][2]}" if inside else "O"
            table.append([f"Sentence: {number}" if at == 0 else "", word, tag])
            at += len(word) + 1
    return table


def write_csv(file: Path, rows: Sequence[Sequence[Any]], *style: str) -> Path:
    delimiter, encoding = style or (",", "utf-8")
    with file.open("w", newline="", encoding=encoding) as out:
        csv.writer(out, delimiter=delimiter).writerows(rows)
    return file


def write_xlsx(file: Path, rows: Sequence[Sequence[Any]]) -> Path:
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    book.save(file)
    return file


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    rows = tickets()
    surfaces = [["ticket_id", "Message", *TYPES]] + [
        [f"T{number}", text, *(values.get(name) for name in TYPES)]
        for number, (text, values) in enumerate(rows)
    ]
    listed = [["text", "spans"]] + [[row[0], json.dumps(spans(row))] for row in rows]
    return {
        "xlsx": write_xlsx(tmp_path / "tickets.xlsx", surfaces),
        "windows": write_csv(tmp_path / "windows.csv", surfaces, ";", "cp1252"),
        "json": write_csv(tmp_path / "json.csv", listed),
        "tokens": write_csv(tmp_path / "tokens.csv", token_rows(rows)),
    }


@pytest.mark.parametrize("adapter", ["linear", "lora"])
def test_four_tables_of_tickets_make_one_app(
    run: Run, files: dict[str, Path], tmp_path: Path, tiny_encoder_folder: Any, adapter: str
) -> None:
    encoder, said, apps = tiny_encoder_folder("bert"), {}, {}
    for name, file in files.items():
        out = tmp_path / "apps" / name
        made = run(
            *("adapt", encoder, "--family", "ner", "--train", file, "--out", out),
            *("--adapter", adapter, "--epochs", 1, "--precision", "fp32"),
        )  # fmt: skip
        assert made.code == 0, made.err
        said[name] = " ".join(made.err.split())
        apps[name] = {path.name: load_file(path) for path in sorted(out.glob("*.safetensors"))}
        assert json.loads((out / "app.json").read_text())["labels"] == sorted(TYPES)
    assert "read as Windows-1252 with ';' between fields (" in said["windows"]
    for name in ("xlsx", "windows"):
        assert "column 'Message' is read as text (" in said[name]
        assert "'product', 'order id', 'date' are read as types of entities" in said[name]
        assert "'ticket_id'" in said[name]
    for name in ("json", "tokens"):
        assert "are read as" not in said[name]
    first, *others = apps.values()
    assert first
    for other in others:
        assert other.keys() == first.keys()
        for file_name, arrays in first.items():
            for key, array in arrays.items():
                assert (other[file_name][key] == array).all()
    scores = {
        run("evaluate", tmp_path / "apps/xlsx", "--data", file).out for file in files.values()
    }
    assert len(scores) == 1


def test_columns_by_option(run: Run, tmp_path: Path, tiny_encoder_folder: Any) -> None:
    rows = [(f"{verb} {who}", verb, "no") for verb in ("play", "call") for who in "abcdefgh"]
    file = write_csv(tmp_path / "a.csv", [("Was", "Ziel", "Art"), *rows], ";", "utf-16")
    columns = ("--text-column", "Was", "--label-column", "Ziel")
    out, encoder = tmp_path / "app", tiny_encoder_folder("bert")
    command = ["adapt", encoder, "--family", "tc", "--train", file, "--out", out]
    made = run(*command, "--adapter", "linear", "--precision", "fp32", *columns, "--test", file)
    assert made.code == 0, made.err
    scored = run("evaluate", out, "--data", file, *columns)
    assert json.loads(scored.out)["rows"] == 16
    app = onetrunk.adapt(
        encoder, "tc", [dict(zip(("Was", "Ziel"), row[:2], strict=True)) for row in rows],
        text_column="Was", label_column="Ziel", adapter="linear", precision="fp32",
    )  # fmt: skip
    assert (load_file(out / "head.safetensors")["weight"] == app.head.weight.numpy()).all()
    evaluation = app.evaluate(file, text_column="Was", label_column=["Ziel"])
    assert evaluation.rows == 16
    for verb in ([*command[:-1], tmp_path / "b"], ["evaluate", out, "--data", file]):
        failed = run(*verb, "--text-column", "Wax", "--label-column", "Ziel")
        assert failed.code == 2
        assert "no column 'Wax'; did you mean 'Was'?" in " ".join(failed.err.split())


def test_types_by_option(
    run: Run, files: dict[str, Path], tmp_path: Path, tiny_encoder_folder: Any
) -> None:
    out = tmp_path / "app"
    made = run(
        *("adapt", tiny_encoder_folder("bert"), "--family", "ner", "--train", files["xlsx"]),
        *("--label-column", "date", "--label-column", "product", "--out", out),
        *("--adapter", "linear", "--precision", "fp32"),
    )  # fmt: skip
    assert made.code == 0, made.err
    assert json.loads((out / "app.json").read_text())["labels"] == ["date", "product"]
