"""``onetrunk label`` as a user meets it."""

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typer

from onetrunk import cli
from onetrunk.cli.label import UNFINISHED, label
from onetrunk.label.base import Answer
from onetrunk.label.labelers.lists import GazetteerLabeler

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """``run(RAW, "--with", …)``: exit code, what was printed as a result, and the rest."""
    monkeypatch.setenv("COLUMNS", "200")
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(cli._guarded(label))

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["label", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            app()
        printed = capsys.readouterr()
        assert isinstance(stop.value.code, int)
        return stop.value.code, printed.out, printed.err

    return call


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    path = tmp_path / "raw.txt"
    path.write_text("Ann is in Paris.\n\nnothing\nann and Bob\n", encoding="utf-8")
    return path


@pytest.fixture
def names(tmp_path: Path) -> Path:
    path = tmp_path / "names.csv"
    path.write_text("name,type\nAnn,person\nParis,city\n", encoding="utf-8")
    return path


def test_a_gazetteer_labels_a_file(run: Run, raw: Path, names: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    code, printed, _ = run(raw, "--with", f"gazetteer:{names}", "--out", out)
    assert code == 0
    assert f"3 rows in {out / 'train.parquet'}: 3 entities of 2 types" in printed
    assert "without words: 1" in printed
    rows = pq.read_table(out / "train.parquet").to_pylist()
    assert [row["source_row"] for row in rows] == [0, 2, 3]
    assert rows[0]["ner_tags"] == ["B-person", "O", "O", "B-city", "O"]
    assert run(raw, "--with", f"gazetteer:{names}", "--out", out)[0] == 0


def test_a_second_labeler_measures_agreement(
    run: Run, raw: Path, names: Path, tmp_path: Path
) -> None:
    (tmp_path / "r.csv").write_text("pattern,type\n[A-Z]\\w+,person\n")
    code, printed, _ = run(
        *(raw, "--with", f"gazetteer:{names}", "--out", tmp_path / "out"),
        *("--against", f"regex:{tmp_path / 'r.csv'}", "--sample", 10),
    )
    assert code == 0
    assert "span F1 0.6667, same type 0.5" in printed


def test_a_folder_of_another_labeler_is_refused(
    run: Run, raw: Path, names: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    run(raw, "--with", f"gazetteer:{names}", "--out", out)
    code, _, err = run(raw, "--with", f"gazetteer:{names}", "--match-case", "--out", out)
    assert code == cli.USER_ERROR
    assert "was begun with another labeler" in err
    assert err.count("\n") == 1
    again = run(raw, "--with", f"gazetteer:{names}", "--match-case", "--out", out, "--overwrite")
    assert again[0] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--with", "gazeteer:x"], "did you mean 'gazetteer'?"),
        (["--with", "pairs:title"], "did you mean 'title-body'?"),
        (["--with", "pairs:label-synonyms"], "--names FILE goes with pairs:label-synonyms"),
        (["--with", "pairs:adjacent", "--against", "spacy"], "pairs have none"),
        (["--with", "spacy:x", "--types", "a,b"], "--types is for gliner, not for spacy"),
        (["--with", "spacy:x", "--concurrency", "2"], "--concurrency is for chat, not for spacy"),
        (["--with", "chat:m"], "chat needs --endpoint"),
        (["--with", "chat:m", "--endpoint", "x"], "--endpoint 'x' is not like http://"),
        (["--with", "chat:m", "--endpoint", "http://x", "--key-env", "NO_KEY"], "'NO_KEY'"),
        (["--with", "gazetteer:none.csv"], "no such file: none.csv"),
    ],
)
def test_wrong_options_are_one_line_and_leave_nothing(
    run: Run, raw: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    code, _, err = run(raw, *arguments, "--out", tmp_path / "out")
    assert (code, err.count("\n")) == (cli.USER_ERROR, 1)
    assert message in err
    assert not (tmp_path / "out").exists()


def test_an_endpoint_that_is_gone_stops_the_run_with_its_own_exit_code(
    run: Run, tmp_path: Path
) -> None:
    raw = tmp_path / "raw.jsonl"
    raw.write_text("".join(json.dumps({"text": f"Ann {i}"}) + "\n" for i in range(50)))
    code, _, err = run(
        *(raw, "--with", "chat:m", "--endpoint", "http://127.0.0.1:9/v1", "--retries", 0),
        *("--out", tmp_path / "out"),
    )
    assert code == UNFINISHED
    assert "20 texts in a row failed, the last with connection error" in err
    assert "0 of 50 texts are saved" in err
    assert "the same command goes on" in err
    assert not (tmp_path / "out" / "train.parquet").exists()


def test_ctrl_c_keeps_what_is_finished_and_says_so(
    run: Run, raw: Path, names: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    command = (raw, "--with", f"gazetteer:{names}", "--out", out, "--shard-rows", 1)
    answers = GazetteerLabeler.label

    def interrupted(self: GazetteerLabeler, texts: Iterable[str]) -> Iterator[Answer]:
        yield from islice(answers(self, texts), 2)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(GazetteerLabeler, "label", interrupted)
        code, _, err = run(*command)
    assert code == cli.INTERRUPTED
    assert "finished work is kept; the same command goes on" in err
    assert len(list((out / ".work" / "shards").iterdir())) == 2
    assert run(*command)[0] == 0


def test_pairs_of_titles_and_bodies(run: Run, tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    table = pa.table({"title": ["a", "b", ""], "text": ["x", "y", "z"]})
    pq.write_table(table, tmp_path / "docs" / "train.parquet")
    code, printed, _ = run(
        tmp_path / "docs", "--with", "pairs:title-body", "--out", tmp_path / "out"
    )
    assert (code, printed) == (0, f"2 pairs in {tmp_path / 'out'}\n")
    rows = pq.read_table(tmp_path / "out" / "train.parquet").to_pylist()
    assert rows[1] == {"source_row": 1, "query": "b", "positive": "y"}
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["input_notes"]["rows without a title or text, left out"]["count"] == 1
