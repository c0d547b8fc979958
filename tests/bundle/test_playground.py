"""The playground's pure modules: tables, corrections, curves, how a text is shown. Needs node."""

from __future__ import annotations

import csv
import io
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from onetrunk.bulk.cells import as_csv, plain
from onetrunk.bulk.columns import answer_cells, answer_names
from onetrunk.data.notes import Notes
from onetrunk.data.sources import read_classification, read_ner
from onetrunk.interface import FEWEST_JUDGED, Score

PLAYGROUND = Path(__file__).parents[2] / "web" / "playground"
pytestmark = pytest.mark.skipif(not shutil.which("node"), reason="node is not installed")


def node(script: str, given: Any) -> Any:
    """What a script says about what it is given."""
    ground = """
    import { json } from "node:stream/consumers";
    import * as csv from "./csv.js";
    import * as model from "./model.js";
    import { S } from "./strings.js";
    import { drawn } from "./curve.js";
    import { tree } from "./segments.js";
    const given = await json(process.stdin);
    const say = (value) => console.log(JSON.stringify(value));
    """
    ran = subprocess.run(
        ["node", "--input-type=module", "-e", ground + script],
        cwd=PLAYGROUND,
        input=json.dumps(given),
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


CELLS = [
    "plain",
    'a "quoted" word',
    "two\nlines",
    "a, b; c\td",
    " spaces ",
    "",
    "日本 😀",
    "<b>x</b>",
]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_tables_are_read_as_python_writes_them(delimiter: str, end: str) -> None:
    file = io.StringIO()
    writer = csv.writer(file, delimiter=delimiter, lineterminator=end)
    rows = [[*CELLS[i:], *CELLS[:i]] for i in range(len(CELLS))]
    header = [f"column {i}" for i in range(len(CELLS))]
    writer.writerows([header, *rows])
    table = node("say(csv.parse(given));", "\ufeff" + file.getvalue())
    assert table == {"header": header, "rows": rows}


def test_tables_are_written_as_python_reads_them() -> None:
    rows = [[*CELLS[i:], *CELLS[:i]] for i in range(len(CELLS))]
    text = node("say(csv.written(given[0], given.slice(1)));", [CELLS, *rows])
    assert [*csv.reader(io.StringIO(text))] == [CELLS, *rows]


def test_odd_tables() -> None:
    script = """
    const why = (text) => { try { csv.parse(text); } catch (error) { return error.message; } };
    const columns = given[2].map((table) => csv.textColumn(csv.parse(table)));
    say([csv.parse(given[0]), given[1].map(why), columns]);
    """
    given = [
        "a,b\n1\n1,2,,\n\n",
        ['a,b\n1,"2\n', "text,label\nI like it, really,good\n", "No hot water\nbell broken\n"],
        ["id,Message\n1,x", "id,note\n1,a long one", "one\nx"],
    ]
    short, why, columns = node(script, given)
    assert short == {"header": ["a", "b"], "rows": [["1", ""], ["1", "2"]]}
    assert why[0] == "row 2: a quote is not closed"
    assert why[1].startswith("The row “I like it” has 3 cells, the header 2: put quotes around")
    assert why[2].startswith("The first row, “No hot water”, looks like a text: the first row must")
    assert columns == [1, 1, 0]


def test_lines_of_a_text_file_are_texts() -> None:
    script = "say(given.map((name) => csv.tableIn(name, 'No water, at all\\r\\n\\nbell\\n')));"
    lines, table = node(script, ["a.TXT", "b.txt"])
    assert lines == table == {"header": ["text"], "rows": [["No water, at all"], [""], ["bell"]]}


def test_marks_of_joined_files_are_no_part_of_a_cell() -> None:
    table = node("say(csv.parse(given));", "\ufeff\ufefftext,label\na,\ufeffb\n\ufeffc,d\n")
    assert table == {"header": ["text", "label"], "rows": [["a", "\ufeffb"], ["c", "d"]]}


def test_a_name_that_two_columns_have() -> None:
    given = [["text", "intent", "intent"], ["text", "intent"], []]
    assert node("say(given.map((names) => csv.repeated(names) ?? null));", given) == [
        "intent", None, None,
    ]  # fmt: skip


def test_what_is_no_text_is_no_table() -> None:
    script = """
    const what = (name, bytes) => {
      try {
        return csv.textOf(name, new Uint8Array(bytes));
      } catch (error) {
        return error.message;
      }
    };
    say(given.map(([name, bytes]) => what(name, bytes)));
    """

    def said(*files: tuple[str, bytes]) -> list[str]:
        found: list[str] = node(script, [[name, list(content)] for name, content in files])
        return found

    zipped, old = b"PK\3\4rest", b"\xd0\xcf\x11\xe0\0"
    for name in ("complaints.xlsx", "a.b.XLS", "c.xlsm", "d.xlsb"):
        assert said((name, zipped), (name, old)) == [
            f"{name} is an Excel file: save it as CSV first."
        ] * 2  # fmt: skip
    assert said(("e.ods", zipped)) == ["e.ods is a spreadsheet: save it as CSV first."]
    for name, content in [
        ("renamed.csv", zipped), ("old.csv", old), ("photo.png", b"\x89PNG\r\n\x1a\n\0"),
        ("rows.parquet", b"PAR1\x15\0"), ("none", b"a\0b"), ("wide.tsv", "a,b".encode("utf-16")),
    ]:  # fmt: skip
        assert said((name, content)) == [f"{name} is no text table: choose a CSV, in UTF-8."]
    text = "text,\u00e9\nPK,xlsx\n"
    assert said(("a.csv", text.encode()), ("list.xlsx.csv", b"text\nx"), ("none", b"")) == [
        text, "text\nx", "",
    ]  # fmt: skip


def test_one_dropped_file_is_a_table_and_a_folder_a_bundle() -> None:
    drops = [
        ["a.csv"], ["complaints.xlsx"], ["photo.png"], ["folder/a.csv"],
        ["bundle.json"], ["phone/bundle.json"], ["phone/bundle.json", "phone/top.onnx"],
        ["a.csv", "b.csv"], [],
    ]  # fmt: skip
    script = """
    const files = (paths) => paths.map((path) => ({ path, file: path }));
    say(given.map((paths) => csv.droppedTable(files(paths)) ?? null));
    """
    assert node(script, drops) == [
        "a.csv", "complaints.xlsx", "photo.png", "folder/a.csv", None, None, None, None, None,
    ]  # fmt: skip


def test_answers_are_the_columns_of_predict() -> None:
    """Entities count characters there, and UTF-16 code units in the browser."""
    text = "😀 Oslo"
    entity = {"start": 2, "end": 6, "text": "Oslo", "type": "loc", "score": 0.9}
    several = {"labels": ["a", "b"], "probabilities": {"a": 0.9, "b": 0.6, "c": 0.1}}
    answers: dict[str, tuple[str, dict[str, Any]]] = {
        "news": ("ner", {"entities": [entity]}),
        "intent": ("tc", {"labels": ["a"], "probabilities": {"a": 0.9, "b": 0.1}}),
        "unsure": ("tc", {"labels": [], "probabilities": {"a": 0.5}, "abstained": True}),
        "flags": ("multi-label", several),
        "stars": ("rating", {"value": 3.5}),
    }
    decoders = {name: decoder for name, (decoder, _) in answers.items()}
    result = {"text": text, "apps": {name: answer for name, (_, answer) in answers.items()}}
    wanted = answer_cells(decoders, result)
    in_browser = {name: (decoder, answer) for name, (decoder, answer) in answers.items()}
    in_browser["news"] = ("ner", {"entities": [{**entity, "start": 3, "end": 7}]})
    script = """
    const [text, answers] = given;
    say(Object.entries(answers).flatMap(([name, [decoder, answer]]) => {
      const cells = csv.answerCells(decoder, answer, text);
      return csv.answerColumns(name, decoder).map((column, i) => [column, cells[i]]);
    }));
    """
    columns = node(script, [text, in_browser])
    assert [name for name, _ in columns] == answer_names(decoders)[:-1]
    for name, cell in columns:
        python = as_csv(plain(wanted[name], Notes(), ""))
        assert cell == python or json.loads(cell) == json.loads(python)


def test_corrections_of_entities() -> None:
    script = """
    const entity = (start, end, type) => ({ start, end, type });
    const entities = [entity(0, 8, "a"), entity(13, 17, "b")];
    const example = { text: "New York and Oslo", entities };
    const types = ({ entities }) => entities.map(({ start, end, type }) => [start, end, type]);
    const of = (decoder, ...what) => types(model.withType(decoder, example, ...what));
    say([
      of("ner", 0, 3, "b"), of("ner", 9, 12, "a"), of("ner", 0, 8, "a"),
      of("nested-ner", 0, 3, "b"), of("nested-ner", 0, 8, "a"), of("nested-ner", 4, 12, "a"),
      types(model.withoutTypes(example, 4, 14)), types(example),
    ]);
    """
    a, b = [0, 8, "a"], [13, 17, "b"]
    assert node(script, None) == [
        [[0, 3, "b"], b],  # in place of what it overlaps
        [a, [9, 12, "a"], b],
        [a, b],
        [a, [0, 3, "b"], b],  # beside it
        [b],  # chosen again: taken away
        [[4, 12, "a"], b],  # of one type none overlap
        [],
        [a, b],
    ]


def test_corrections_of_labels_and_what_can_be_learnt_from() -> None:
    script = """
    const example = { text: "x", labels: ["a"] };
    const of = (decoder, label) => model.withLabel(decoder, example, label).labels;
    const book = new model.Notebook({ decoder: "tc", labels: ["a"] });
    book.note(example);
    book.note({ text: "y", labels: [] });
    book.note({ text: "x", labels: ["b"] });
    book.addLabel(" b ");
    book.addLabel("b");
    const first = book.learnt({ rows: 4, judged: 4, score: 50 });
    const next = book.learnt({ rows: 2, judged: 2, score: 30 });
    book.learnt({ rows: 4, judged: 4, score: 60 });
    say([
      of("tc", "b"), of("multi-label", "b"), of("multi-label", "a"), book.rows, book.labels,
      [first.last ?? null, next.last], book.curve,
      model.isWhole("rating", { text: "x", value: NaN }),
      model.sameAnswer({ labels: ["a", "b"] }, { labels: ["b", "a"] }),
      model.sameAnswer({ value: 1.21 }, { value: 1.34 }),
    ]);
    """
    assert node(script, None) == [
        ["b"],
        ["a", "b"],
        [],
        [{"text": "x", "labels": ["b"]}],
        ["a", "b"],
        [None, {"rows": 4, "score": 50}],
        [{"rows": 2, "score": None}, {"rows": 4, "score": 60}],
        False,
        True,
        False,
    ]


def test_what_a_lesson_says_of_its_score() -> None:
    """As Python says it. Of one or two examples no score is said, nor later on."""
    script = """
    const book = new model.Notebook({ decoder: "tc", labels: ["a"] });
    say(given.map((report) => {
      const { score, last } = book.learnt(report);
      return S.taught({ ...report, score }, last);
    }));
    """
    lessons = [
        {"rows": 1, "judged": 1, "score": 100, "before": 100},
        {"rows": 1, "judged": 0, "score": None, "before": None},
        {"rows": 2, "judged": 2, "score": 50, "before": 100},
        {"rows": 3, "judged": 3, "score": 66.7, "before": 100},
        {"rows": 13, "judged": 13, "score": 92.34, "before": 100},
        {"rows": 14, "judged": 14, "score": 90, "before": 100},
    ]
    said = node(script, [{"metric": "accuracy", **lesson} for lesson in lessons])
    assert said == [
        *[f"{Score('f1', 50, 2, FEWEST_JUDGED - 1, 0.1, 0.3, 1)}.".capitalize()] * 3,
        "accuracy 66.7 by cross-validation on 3 examples.",
        "accuracy 92.3 by cross-validation on 13 examples; the lesson before: 66.7 on 3 examples.",
        "accuracy 90.0 by cross-validation on 14 examples; the lesson before: 92.3 on 13 examples. "
        "More examples may help.",
    ]
    for before, more in ((90.04, "90.0 on the same."), (95, "95.0 on the same. More examples may")):
        (first,) = node(script, [{"metric": "f1", **lessons[4], "before": before}])
        score = "entity F1 92.3 by cross-validation on 13 examples"
        assert first.startswith(f"{score}; the app before: {more}")
        python = str(Score("f1", 92.34, 13, 13, 0.1, 0.3, 1, before))
        assert first.startswith(python.replace("f1", "entity F1"))


def test_examples_are_saved_as_adapt_reads_them(tmp_path: Path) -> None:
    entities = [{"start": 3, "end": 7, "type": "loc"}]
    given = [[{"text": "😀 Oslo", "entities": entities}], [{"text": "x", "labels": ["a"]}]]
    for name, lines in zip(
        ("ner", "tc"), node("say(given.map(model.exampleLines));", given), strict=True
    ):
        (tmp_path / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    (ner,) = read_ner(tmp_path / "ner.jsonl")
    assert (ner.text, ner.entities) == ("😀 Oslo", ((2, 6, "loc"),))
    (tc,) = read_classification(tmp_path / "tc.jsonl")
    assert (tc.text, tc.labels) == ("x", ("a",))


def test_a_text_is_shown_whole_whatever_its_entities() -> None:
    """Nested, crossing, and equal entities; each ends once."""
    text = "the Bank of England in London, today"
    words = [[0, 3], [4, 8], [9, 11], [12, 19], [20, 22], [23, 29], [29, 30], [31, 36]]
    cases = [
        [],
        [[4, 19, "org"], [12, 19, "loc"], [4, 19, "other"]],
        [[4, 22, "a"], [12, 29, "b"], [31, 36, "c"], [0, 11, "d"]],
        [[5, 14, "inside words"]],
    ]
    script = """
    const [text, words, cases] = given;
    const flat = (nodes) => nodes.map((node) => node.nodes ? flat(node.nodes) : node.text).join("");
    const seen = (nodes) => nodes.flatMap((node) =>
      node.nodes ? [[flat(node.nodes), node.entity.type, node.ends], ...seen(node.nodes)] : []);
    say(cases.map((entities) => {
      const made = tree(text, words, entities.map(([start, end, type]) => ({ start, end, type })));
      return [flat(made), seen(made)];
    }));
    """
    for (shown, marks), entities in zip(node(script, [text, words, cases]), cases, strict=True):
        assert shown == text
        for start, end, kind in entities:
            parts = [part for part, of, _ in marks if of == kind]
            assert "".join(parts) == text[start:end]
        assert sorted(kind for _, kind, ends in marks if ends) == sorted(e[2] for e in entities)
    nested = node(script, [text, words, cases])[1][1]
    assert [kind for _, kind, _ in nested] == ["org", "other", "loc"]


def test_a_curve_stays_in_its_drawing() -> None:
    points = [{"rows": 4, "score": None}, {"rows": 5, "score": 61.2}, {"rows": 9, "score": 88}]
    script = "say([given, given.slice(0, 2), []].map((points) => drawn(points, 200, 100, 20)));"
    curve, single, empty = node(script, points)
    assert [dot["rows"] for dot in curve["dots"]] == [5, 9]
    assert curve["path"].count("L") == 1
    first, last = curve["dots"]
    assert (first["x"], last["x"]) == (20, 180)
    assert 20 <= last["y"] < first["y"] <= 80
    assert (curve["low"], curve["high"]) == (50, 100)
    assert [dot["x"] for dot in single["dots"]] == [100]
    assert empty["path"] == ""
