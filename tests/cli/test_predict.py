"""``onetrunk predict`` on input that is odd, broken or cannot be answered."""

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

FIXTURES = Path(__file__).parents[1] / "fixtures" / "format-0.1"
APP, BUNDLE = FIXTURES / "apps/intent", FIXTURES / "bundle"
LINES = [
    '{"text": "ann met bob"}',
    '{"text": 3}',
    '{"txt": "call"}',
    '{"text": null}',
    '{"text": "\\ud83d half"}',
    "not json",
    "[1]",
    '{"text": "call dora"}',
]
FAULTS = {
    1: "texts.jsonl:2: 'text' is 3 (int), not a string",
    2: "texts.jsonl:3: no column 'text'; did you mean 'txt'?",
    3: "texts.jsonl:4: 'text' is null",
    4: "texts.jsonl:5: invalid JSON",
    5: "texts.jsonl:6: invalid JSON",
    6: "texts.jsonl:7: the line is [1] (list), not a JSON object",
}
Run = Callable[..., Any]


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    path = tmp_path / "texts.jsonl"
    path.write_text("\n".join(LINES) + "\n")
    return path


@pytest.mark.parametrize("model", [APP, BUNDLE])
def test_bad_lines_have_an_error_in_their_place(run: Run, texts: Path, model: Path) -> None:
    result = run("predict", model, "--input", texts)
    assert result.code == 0
    results = [json.loads(line) for line in result.out.splitlines()]
    assert len(results) == len(LINES)
    for place, answer in enumerate(results):
        if place in FAULTS:
            assert answer["text"] is None
            assert FAULTS[place] in answer["error"]
        else:
            assert answer["text"] == json.loads(LINES[place])["text"]
            assert answer["apps"]["intent"]["labels"]
    assert "note: 6 of 8 texts could not be answered: see their 'error'" in result.err


def test_a_row_of_csv_with_too_many_fields(run: Run, tmp_path: Path) -> None:
    file, out = tmp_path / "a.csv", tmp_path / "out.jsonl"
    file.write_text("id,text\n1,hello\n2,one, two\n3,bye\n")
    result = run("predict", APP, "--input", file)
    answers = [json.loads(line) for line in result.out.splitlines()]
    assert ["error" in answer for answer in answers] == [False, True, False]
    assert "a.csv:3: 3 fields but the header has 2" in answers[1]["error"]
    assert run("predict", APP, "--input", file, "--out", out).code == 0
    written = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row.get("id") for row in written] == ["1", None, "3"]


def test_the_pretty_form_shows_the_error(run: Run, texts: Path) -> None:
    result = run("predict", APP, "--input", texts, "--format", "pretty")
    assert "(no text)\n  error: " in result.out
    assert "texts.jsonl:2: 'text' is 3 (int), not a string" in result.out


def test_without_a_text_there_is_nothing_to_read(run: Run) -> None:
    assert "nothing to read: pass --text or --input" in run("predict", APP).err
    assert "no such folder: hello there" in run("predict", APP, "hello there").err
    assert "'APP... [TEXT...]'" in run("predict").err


def test_columns_without_a_name_are_left_out(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text;mood;;\ncall ann;glad;;\nplay a song;;x;\n")
    result = run("predict", APP, "--input", tmp_path / "a.csv", "--json")
    assert result.code == 0
    assert [json.loads(line)["mood"] for line in result.out.splitlines()] == ["glad", ""]
    assert "columns without a name, which answers do not keep: 2" in result.err


def test_strict_stops_at_the_first(run: Run, texts: Path) -> None:
    result = run("predict", APP, "--input", texts, "--strict")
    assert result.code == 2
    (line,) = result.out.splitlines()
    assert json.loads(line)["text"] == "ann met bob"
    assert result.err.startswith("error: ")
    assert FAULTS[1] in result.err
    assert result.err.count("\n") == 1


def test_a_text_too_long_for_a_bundle(run: Run, tmp_path: Path) -> None:
    texts = tmp_path / "texts.txt"
    texts.write_text(f"ann\n{'x' * 200_001}\nbob\n")
    result = run("predict", BUNDLE, "--input", texts)
    assert result.code == 0
    errors = [json.loads(line).get("error") for line in result.out.splitlines()]
    assert [error is None for error in errors] == [True, False, True]
    assert errors[1].startswith("200,001 characters")
    assert run("predict", BUNDLE, "--input", texts, "--strict").code == 2


@pytest.mark.parametrize("name", ["texts.txt", "texts.jsonl"])
def test_a_line_that_is_not_utf8(run: Run, tmp_path: Path, name: str) -> None:
    line = b'{"text": "%b"}\n' if name.endswith("l") else b"%b\n"
    (tmp_path / name).write_bytes(b"".join(line % text for text in (b"ann", b"b\xf6b", b"cid")))
    result = run("predict", APP, "--input", tmp_path / name)
    assert result.code == 0
    answers = [json.loads(answer) for answer in result.out.splitlines()]
    assert [answer["text"] for answer in answers] == ["ann", None, "cid"]
    assert f"{name}:2: byte 0xf6" in answers[1]["error"]


def test_a_file_that_breaks_off_has_what_came_before_answered(run: Run, tmp_path: Path) -> None:
    table = tmp_path / "texts.csv"
    table.write_text('text,id\nann,1\n"bob,2\ncid,4\n')
    result = run("predict", APP, "--input", table)
    assert result.code == 2
    assert result.out == ""  # of a table, a block is read at once
    assert "texts.csv:3: invalid CSV" in result.err
    packed = tmp_path / "texts.jsonl.gz"
    whole = gzip.compress("".join(f'{{"text": "call {i}"}}\n' for i in range(20_000)).encode())
    packed.write_bytes(whole[: len(whole) // 2])
    result = run("predict", APP, "--input", packed)
    assert result.code == 2
    assert len(result.out.splitlines()) >= 1000
    assert result.err.count("error: ") == 1


@pytest.mark.parametrize(
    ("name", "content", "part"),
    [
        ("texts.jsonl", '{"txt": "a", "id": 1}\n', "no column 'text'; did you mean 'txt'?"),
        ("texts.jsonl", "nonsense\n", "texts.jsonl:1: invalid JSON"),
        ("texts.jsonl", "\n\n", "has no rows"),
        ("texts.txt", "", "is empty (0 bytes)"),
        ("texts.doc", "x", "suffix '.doc' is not supported here"),
    ],
)
def test_a_file_without_a_text_is_refused_at_once(
    run: Run, tmp_path: Path, name: str, content: str, part: str
) -> None:
    (tmp_path / name).write_text(content)
    result = run("predict", APP, "--input", tmp_path / name, "--text", "ann")
    assert (result.code, result.out) == (2, "")
    assert part in result.err
    assert result.err.count("\n") == 1


@pytest.mark.parametrize("given", [[""], ["  \t "], ["ann", "bob"], ["ann", ""]])
def test_texts_as_given(run: Run, given: list[str]) -> None:
    result = run("predict", APP, *(part for text in given for part in ("--text", text)))
    assert result.code == 0
    assert [json.loads(line)["text"] for line in result.out.splitlines()] == given


@pytest.mark.parametrize("form", ["jsonl", "pretty"])
def test_output_is_utf8_whatever_the_terminal(form: str) -> None:
    odd = {**os.environ, "PYTHONIOENCODING": "cp1252", "LANG": "C", "LC_ALL": "C"}
    command = [sys.executable, "-m", "onetrunk", "predict", str(BUNDLE), "--format", form]
    done = subprocess.run([*command, "--text", "日本 😀"], env=odd, capture_output=True, check=True)
    assert "日本 😀" in done.stdout.decode("utf-8")


def test_arguments_are_utf8_whatever_the_locale() -> None:
    odd = {**os.environ, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C"}
    command = [sys.executable, "-m", "onetrunk", "predict", str(BUNDLE), "--text"]
    done = subprocess.run([*command, "日本 😀"], env=odd, capture_output=True, check=True)
    assert "日本 😀" in done.stdout.decode("utf-8")
    done = subprocess.run([*command, b"caf\xe9"], env=odd, capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.decode() == "error: the text 'caf\\udce9' is not UTF-8\n"


def test_a_disk_that_is_full_is_one_line() -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no /dev/full")
    with full.open("w") as stdout:
        command = [sys.executable, "-m", "onetrunk", "predict", str(BUNDLE), "--text", "x"]
        done = subprocess.run(
            command, stdout=stdout, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 2
    *notes, error = done.stderr.splitlines()
    assert all(note.startswith("note: ") for note in notes)
    assert error == "error: output: No space left on device"
