import json
import multiprocessing
import signal
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from onetrunk.data.rows import AnnotatedText
from onetrunk.data.sources import read_ner
from onetrunk.errors import UserError
from onetrunk.label.base import Answer, Entity, Unfinished
from onetrunk.label.compare import Sample, compare
from onetrunk.label.job import LabelledRow, open_job
from onetrunk.label.output import BLANK, trimmed
from onetrunk.label.run import label, survey

TEXTS = [f"Ann met Bob {i} 😀." for i in range(23)]


class Names:
    """Labels ``Ann``; texts in ``fail`` get no answer, and after ``stop`` texts it stops."""

    def __init__(self, fingerprint="names", fail=(), stop=None):
        self.fingerprint, self.fail, self.stop, self.read = fingerprint, fail, stop, []

    def label(self, texts):
        for text in texts:
            if len(self.read) == self.stop:
                raise Unfinished("the budget is spent")
            self.read.append(text)
            if text in self.fail:
                yield Answer((), {"retries: timeout": 2}, "timeout")
            else:
                yield Answer((Entity(0, 3, "who"),) if text.startswith("Ann") else ())


def source(texts=TEXTS):
    return survey(lambda notes: iter(texts))


def check_complete(out, texts=TEXTS):
    rows = pq.read_table(out / "train.parquet").to_pylist()
    assert [row["source_row"] for row in rows] == list(range(len(texts)))
    for row, text in zip(rows, texts, strict=True):
        assert "".join(row["tokens"]) == text.replace(" ", "")
    assert not (out / "failed.jsonl").exists()
    return rows


def test_a_run_gives_rows_that_training_reads_and_a_report(tmp_path):
    report = label(source(), Names(), tmp_path / "out", shard_rows=5)
    check_complete(tmp_path / "out")
    rows = read_ner(tmp_path / "out" / "train.parquet")
    assert rows[0].entities == ((0, 3, "who"),)
    assert json.loads((tmp_path / "out" / "report.json").read_text()) == report
    assert report["rows"] == 23
    assert report["types"] == [{"type": "who", "count": 23, "examples": ["Ann"]}]
    assert report["entities_per_100_words"] == round(100 / 6, 4)
    assert "| who | 23 | Ann |" in (tmp_path / "out" / "report.md").read_text()
    assert (tmp_path / "out" / "types.png").read_bytes().startswith(b"\x89PNG")


def test_a_run_prints_nothing_and_tells_how_far_it_is(tmp_path, capsys, caplog):
    told = []

    def noting(notes):
        notes.add("texts with emoji", "row 1", len(TEXTS))
        yield from TEXTS

    noted = survey(lambda notes: iter(TEXTS) if notes is None else noting(notes))
    labeler = Names(fail=[TEXTS[22]])
    label(noted, labeler, tmp_path / "out", progress=lambda *call: told.append(call))
    assert told[:2] == [("label", 0, 23), ("label", 1, 23)]
    assert told[-1] == ("label, 1 failed, 2 retries", 23, 23)
    told.clear()
    label(noted, Names(), tmp_path / "out", progress=lambda *call: told.append(call))
    assert told == [("label", 22, 23), ("label", 23, 23)]
    assert capsys.readouterr() == ("", "")
    assert caplog.messages == ["texts with emoji: 23 (row 1, …)"] * 2


def test_the_same_command_again_labels_nothing(tmp_path):
    first = label(source(), Names(), tmp_path / "out", shard_rows=5)
    before = (tmp_path / "out" / "train.parquet").read_bytes()
    again = Names()
    assert label(source(), again, tmp_path / "out", shard_rows=5) == first
    assert again.read == []
    assert (tmp_path / "out" / "train.parquet").read_bytes() == before


def test_a_stopped_run_says_how_far_it_came_and_goes_on(tmp_path):
    with pytest.raises(Unfinished, match=r"budget is spent; 10 of 23 texts are saved .* goes on"):
        label(source(), Names(stop=12), tmp_path / "out", shard_rows=5)
    assert not (tmp_path / "out" / "train.parquet").exists()
    rest = Names()
    label(source(), rest, tmp_path / "out", shard_rows=5)
    assert rest.read == TEXTS[10:]
    check_complete(tmp_path / "out")


def test_failed_texts_are_listed_are_no_training_rows_and_are_tried_again(tmp_path):
    out, fail = tmp_path / "out", [TEXTS[3], TEXTS[4], TEXTS[22]]
    report = label(source(), Names(fail=fail), out, shard_rows=5)
    assert (report["rows"], report["failed"], report["retries"]) == (20, 3, 6)
    failed = [json.loads(line) for line in (out / "failed.jsonl").read_text().splitlines()]
    assert [row["source_row"] for row in failed] == [3, 4, 22]
    assert failed[0] == {"source_row": 3, "error": "timeout", "text": TEXTS[3]}
    done = pq.read_table(out / "train.parquet")["source_row"].to_pylist()
    assert sorted([*done, 3, 4, 22]) == list(range(23))
    again = Names(fail=[TEXTS[4]])
    assert label(source(), again, out, shard_rows=5)["failed"] == 1
    assert again.read == fail
    assert label(source(), Names(), out, shard_rows=5)["failed"] == 0
    check_complete(out)


def test_texts_without_words_are_listed_and_not_tried_again(tmp_path):
    texts = ["Ann", "", " \u200b\n", "Bob"]
    report = label(source(texts), Names(), tmp_path / "out")
    assert (report["rows"], report["without_words"], report["failed"]) == (2, 2, 0)
    lines = (tmp_path / "out" / "failed.jsonl").read_text().splitlines()
    assert [json.loads(line)["source_row"] for line in lines] == [1, 2]
    again = Names()
    label(source(texts), again, tmp_path / "out")
    assert again.read == []


@pytest.mark.parametrize(
    ("texts", "labeler", "rows", "message"),
    [
        (TEXTS, Names("other"), 5, "begun with another labeler \\('names', now 'other'\\)"),
        ([*TEXTS[:-1], "x"], Names(), 5, "begun with other texts"),
        (TEXTS, Names(), 6, "begun with another --shard-rows \\(5, now 6\\)"),
    ],
)
def test_a_folder_belongs_to_one_labeler_and_its_texts(tmp_path, texts, labeler, rows, message):
    with pytest.raises(Unfinished):
        label(source(), Names(stop=12), tmp_path / "out", shard_rows=5)
    with pytest.raises(UserError, match=message):
        label(source(texts), labeler, tmp_path / "out", shard_rows=rows)
    label(source(texts), labeler, tmp_path / "out", shard_rows=rows, overwrite=True)
    check_complete(tmp_path / "out", texts)


def test_two_lists_that_join_to_the_same_text_are_different_texts():
    assert source(["ab", "c"]).digest != source(["a", "bc"]).digest


def test_a_folder_with_other_files_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("x")
    with pytest.raises(UserError, match="already exists"):
        label(source(), Names(), tmp_path)
    with pytest.raises(UserError, match=r"mine.txt is a file"):
        label(source(), Names(), tmp_path / "mine.txt")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["x"]


def test_white_space_around_an_entity_is_no_part_of_it(tmp_path):
    class Loose:
        fingerprint = "loose"

        def label(self, texts):
            for _ in texts:
                yield Answer((Entity(0, 5, "who"), Entity(5, 7, "gap"), Entity(9, 10, "unit")))

    text = "\nAnn   x 1kg"
    assert trimmed(text, [Entity(0, 5, "who"), Entity(5, 7, "gap")]) == ([Entity(1, 4, "who")], 1)
    report = label(source([text]), Loose(), tmp_path / "out")
    assert (report["entities"], report["counts"]) == (2, {BLANK: 1})
    (row,) = read_ner(tmp_path / "out" / "train.parquet")
    assert row == AnnotatedText("Ann x 1 kg", ((0, 3, "who"), (6, 7, "unit")))


def test_there_is_nothing_to_label():
    with pytest.raises(UserError, match="no texts"):
        source([])


def test_a_damaged_shard_is_done_again_and_said(tmp_path):
    with pytest.raises(Unfinished):
        label(source(), Names(stop=12), tmp_path / "out", shard_rows=5)
    shards = sorted((tmp_path / "out" / ".work" / "shards").iterdir())
    shards[0].write_bytes(shards[0].read_bytes()[:-30])
    rest = Names()
    report = label(source(), rest, tmp_path / "out", shard_rows=5)
    assert rest.read == [*TEXTS[:5], *TEXTS[10:]]
    assert report["input_notes"]["damaged shards labelled again"]["count"] == 1
    check_complete(tmp_path / "out")


def test_input_that_changes_under_the_run_is_noticed(tmp_path):
    readings = iter([TEXTS, TEXTS[:-1]])
    changing = survey(lambda notes: iter(next(readings)))
    with pytest.raises(UserError, match="input changed"):
        label(changing, Names(), tmp_path / "out", shard_rows=5)


class Slow:
    fingerprint = "slow"

    def label(self, texts):
        for _ in texts:
            time.sleep(0.004)
            yield Answer((Entity(0, 3, "who"),))


def label_slowly(out: Path) -> None:
    texts = [f"Ann met Bob {i}." for i in range(300)]
    label(survey(lambda notes: iter(texts)), Slow(), out, shard_rows=7)


def start(out: Path) -> Any:
    run = multiprocessing.get_context("fork").Process(target=label_slowly, args=(out,))
    run.start()
    return run


def wait_for_shards(out: Path, more_than: int) -> int:
    for _ in range(2000):
        shards = len(list((out / ".work" / "shards").glob("[0-9]*.parquet")))
        if shards > more_than:
            return shards
        time.sleep(0.005)
    raise AssertionError("the run saves nothing")


def test_a_run_killed_twice_loses_nothing_and_doubles_nothing(tmp_path):
    out = tmp_path / "out"
    shards = 0
    for _ in range(2):
        run = start(out)
        shards = wait_for_shards(out, shards)
        run.kill()
        run.join()
        assert run.exitcode == -signal.SIGKILL
    assert not (out / "train.parquet").exists()
    run = start(out)
    run.join()
    assert run.exitcode == 0
    check_complete(out, [f"Ann met Bob {i}." for i in range(300)])


def test_what_a_run_killed_at_its_end_leaves_is_removed(tmp_path):
    label(source(["no"]), Names(), tmp_path / "out")
    assert not (tmp_path / "out" / "types.png").exists()
    work = tmp_path / "out" / ".work"
    (work / ".output.x.partial").mkdir()
    (work / ".output.x.partial" / "train.parquet").write_bytes(b"half")
    (work / "unfinished.parquet").write_bytes(b"half")
    label(source(), Names(), tmp_path / "out", overwrite=True)
    check_complete(tmp_path / "out")
    assert (tmp_path / "out" / "types.png").exists()
    assert sorted(path.name for path in work.iterdir()) == ["job.json", "lock", "shards"]
    label(source(["no"]), Names(), tmp_path / "out", overwrite=True)
    assert not (tmp_path / "out" / "types.png").exists()
    (work / "job.json").unlink()  # a run that was to replace this one was killed
    label(source(), Names(), tmp_path / "out", overwrite=True)
    check_complete(tmp_path / "out")


def test_texts_are_never_taken_for_labels(tmp_path):
    (tmp_path / "train.parquet").write_bytes(b"mine")
    with pytest.raises(UserError, match="onetrunk did not write it"):
        label(source(), Names(), tmp_path, overwrite=True)
    assert (tmp_path / "train.parquet").read_bytes() == b"mine"


def test_only_one_process_labels_into_a_folder(tmp_path):
    run = start(tmp_path / "out")
    wait_for_shards(tmp_path / "out", 0)
    try:
        with pytest.raises(UserError, match="another process is labelling"):
            label(source(), Names(), tmp_path / "out")
    finally:
        run.kill()
        run.join()


def test_agreement_of_two_labelers():
    rows = [
        ("Ann in Rome", [(0, 3, "PER"), (7, 11, "LOC")], [(0, 3, "per"), (4, 11, "LOC")]),
        ("Bob", [(0, 3, "PER")], [(0, 3, "dog")]),
        ("no", [], []),
    ]
    first = [
        LabelledRow(i, text, Answer(tuple(Entity(*e) for e in entities)))
        for i, (text, entities, _) in enumerate(rows)
    ]
    failed = LabelledRow(3, "x", Answer(error="timeout"))

    class Second:
        fingerprint = "second"

        def label(self, texts):
            answers = {text: Answer(tuple(Entity(*e) for e in other)) for text, _, other in rows}
            for text in texts:
                yield answers.get(text, Answer())

    agreement = compare([*first, failed], 4, Sample(Second(), rows=10))
    assert (agreement["texts"], agreement["texts_compared"]) == (4, 3)
    assert agreement["span_f1"] == round(2 * 2 / (3 + 3), 4)
    assert agreement["typed_agreement"] == 0.5
    assert agreement["typed_f1"] == round(2 * 1 / (3 + 3), 4)
    assert {"type": "PER", "other": "dog", "count": 1} in agreement["types"]
    assert compare(first[2:], 3, Sample(Second(), rows=3))["span_f1"] is None
    drawn = compare(first, 3, Sample(Second(), rows=1, seed=1))
    assert drawn == compare(first, 3, Sample(Second(), rows=1, seed=1))
    assert drawn["texts"] == 1


def test_the_report_holds_the_agreement(tmp_path):
    report = label(source(), Names(), tmp_path / "out", Sample(Names("second"), rows=9))
    assert report["agreement"]["span_f1"] == 1.0
    page = (tmp_path / "out" / "report.md").read_text()
    assert "| span f1 | 1.0 |" in page
    assert "| who | who | 9 |" in page
    assert report["agreement"]["types"] == [{"type": "who", "other": "who", "count": 9}]


def test_a_shard_keeps_everything(tmp_path):
    row = LabelledRow(0, "Ann 😀\0", Answer((Entity(0, 3, "a b"),), {"retries: x": 2}, "e"))
    with open_job(tmp_path, {}, rows=1, shard_rows=5) as job:
        job.write(0, [row])
        assert list(job.labelled()) == [row]
        assert job.pending() == {0: {0}}
