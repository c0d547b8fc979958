import json
import random
import re
from pathlib import Path
from typing import Any

import pytest

from onetrunk.data.formats.annotations import annotated_text
from onetrunk.data.notes import Notes
from onetrunk.data.rows import AnnotatedText, LabelledText
from onetrunk.data.sources import read_classification, read_ner, read_texts
from onetrunk.errors import UserError


def written(file: Path, rows: list[Any]) -> Path:
    data = json.dumps(rows) if file.suffix == ".json" else "\n".join(map(json.dumps, rows))
    file.write_text(data)
    return file


def fails(read: Any, file: Path, message: str) -> None:
    with pytest.raises(UserError) as caught:
        read(file)
    assert str(caught.value).replace(str(file), "F") == message


def read(text: str, spans: list[Any], notes: Notes | None = None) -> AnnotatedText:
    return annotated_text(text, spans, "'spans'", "F:7", notes or Notes())


# Spans


def test_spans_that_cut_words_are_kept_and_said() -> None:
    notes = Notes()
    spans = [(3, 13, "LOC"), (15, 16, "X"), (17, 19, "UNIT"), (21, 22, "日")]
    assert read("ex-Yugoslavia, 10km 日本", [list(s) for s in spans], notes).entities == (*spans,)
    assert notes.lines() == ["spans that begin or end inside a word: 2 (F:7: '1', F:7: 'km')"]


def test_white_space_at_an_edge_is_left_out() -> None:
    notes = Notes()
    row = read("a bc\u3000d\u200b", [[1, 5, "X"], [0, 1, "Y"], [5, 7, "Z"]], notes)
    assert row.entities == ((0, 1, "Y"), (2, 4, "X"), (5, 6, "Z"))
    assert notes.lines() == ["spans with white space at an edge, which is left out: 2 (F:7, F:7)"]


def test_longest_spans_are_kept_against_brute_force() -> None:
    rng = random.Random(3)
    for _ in range(300):
        text = "abcdefghij"
        given = []
        for _ in range(rng.randint(0, 6)):
            start = rng.randrange(10)
            given.append([start, rng.randint(start + 1, 10), rng.choice("XY")])
        notes = Notes()
        row = annotated_text(text, given, "'spans'", "F:1", notes)
        kept: list[list[Any]] = []
        for span in sorted(given, key=lambda one: (one[0] - one[1], one[0])):
            if all(span[1] <= other[0] or other[1] <= span[0] for other in kept):
                kept.append(span)
        found = [list(entity) for entity in row.entities]
        assert found == sorted(kept)
        left_out = notes.found.get("spans that overlap a longer one, left out")
        assert (left_out.count if left_out else 0) == len(given) - len(kept)


def words_with_tags(text: str, tags: str) -> dict[str, Any]:
    """A row with a span for each word that has a tag (``-``: it has none)."""
    words = list(re.finditer(r"\S+", text))
    spans = [
        [*word.span(), tag] for word, tag in zip(words, tags.split(), strict=True) if tag != "-"
    ]
    return {"text": text, "spans": spans}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("B-PER I-PER - - B-LOC", "- B-PER B-PER I-PER -"),
        ("B-PER I-PER O O B-LOC", "O B-PER B-PER I-PER O"),
        ("I-PER I-PER - - I-LOC", "- I-PER B-PER I-PER -"),
        ("B-PER E-PER - - S-LOC", "- S-PER B-PER E-PER -"),
        ("B-PER L-PER O O U-LOC", "O U-PER B-PER L-PER O"),
    ],
)
def test_spans_of_words_with_tags_are_joined(tmp_path: Path, first: str, second: str) -> None:
    rows = [
        words_with_tags("Mia Lund lives in Bern", first),
        words_with_tags("when Ada Bo Stein left", second),
    ]
    notes = Notes()
    assert [row.entities for row in read_ner(written(tmp_path / "a.jsonl", rows), notes)] == [
        ((0, 8, "PER"), (18, 22, "LOC")),
        ((5, 8, "PER"), (9, 17, "PER")),
    ]
    kinds = [line.partition(" (")[0] for line in notes.lines()]
    outside = ["spans with the tag 'O', left out: 4"] if "O" in first.split() else []
    assert sorted(kinds) == ["spans labelled with tags, joined to entities: 6", *outside]


def test_types_that_look_like_tags_stay_and_are_said(tmp_path: Path) -> None:
    """A type may be called B-52; only a word that continues the one before shows tags."""
    for rows in (
        [words_with_tags("a B-52 flew", "- B-52 -"), words_with_tags("the I-95", "- I-95")],
        [words_with_tags("the B-52 Mia", "- B-52 PER")],
        [words_with_tags("so Mia Lund left", "- B-PER I-PER MISC")],
        [words_with_tags("group O or group A", "- O - - A")],
        [words_with_tags("group O", "- O")],
        [words_with_tags("Mia Lund", "B_PER I_PER")],
    ):
        notes = Notes()
        found = read_ner(written(tmp_path / "a.jsonl", rows), notes)
        assert [list(map(list, row.entities)) for row in found] == [row["spans"] for row in rows]
        (line,) = notes.lines()
        assert line.startswith("spans whose labels look like tags, read as types: ")
    rows = [words_with_tags("write an E-mail by U-Bahn", "- - E-mail - U-Bahn")]
    notes = Notes()
    assert len(read_ner(written(tmp_path / "a.jsonl", rows), notes)[0].entities) == 2
    assert notes.lines() == []


def test_spans_of_words_whose_tags_do_not_fit(tmp_path: Path) -> None:
    rows = [words_with_tags("Mia Lund", "B-PER I-PER"), words_with_tags("so Bern", "- I-LOC")]
    fails(
        read_ner,
        written(tmp_path / "a.jsonl", rows),
        "F:2: 'spans': 'Bern': tag 1 'I-LOC' does not continue an entity; write B-LOC to start "
        "one; the tags are IOB2 by F:1: 'spans': 'Mia' (tag 1 'B-PER'); write all tags in one "
        "scheme",
    )
    rows[1] = {"text": "Mia Lund", "spans": [[0, 3, "B-PER"], [0, 8, "I-PER"]]}
    fails(
        read_ner,
        written(tmp_path / "a.jsonl", rows),
        "F:2: 'spans': 'Mia' and 'Mia Lund' have tags and overlap; write an entity as one span "
        "with its type",
    )


def test_answers_for_spans_ignore_case_as_those_for_rows_do(tmp_path: Path) -> None:
    answers = ["reject", "Reject", " IGNORE", "Accept", None, "maybe", ["reject"]]
    spans = [
        {"start": at, "end": at + 1, "label": "X", "answer": answer}
        for at, answer in zip(range(0, 14, 2), answers, strict=True)
    ]
    notes = Notes()
    file = written(tmp_path / "a.jsonl", [{"text": "a b c d e f g", "spans": spans}])
    assert [start for start, *_ in read_ner(file, notes)[0].entities] == [6, 8, 10, 12]
    odd = "spans whose answer is not accept, reject or ignore, read as accepted"
    assert notes.lines() == [
        f"spans with the answer 'reject', left out: 2 ({file}:1, {file}:1)",
        f"spans with the answer 'ignore', left out: 1 ({file}:1)",
        f"{odd}: 2 ({file}:1: 'maybe', {file}:1: ['reject'])",
    ]
    spans.append({"start": 4, "end": 99, "label": "X", "answer": "maybe"})
    file = written(tmp_path / "a.jsonl", [{"text": "a b c d e f g", "spans": spans}])
    with pytest.raises(UserError, match=r"a\.jsonl:1: 'spans' item 8 is not inside the text"):
        read_ner(file, Notes())


A_SPAN = "[start, end, label] or an object with start, end and label"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ("x", "'label' is 'x' (str), not a list of spans"),
        (None, "'label' is null, not a list of spans"),
        (["x"], f"'label' item 1 is 'x' (str), not {A_SPAN}"),
        ([[0, 1]], f"'label' item 1 is [0, 1] (list), not {A_SPAN}"),
        ([[0, 1.0, "X"]], f"'label' item 1 is [0, 1.0, 'X'] (list), not {A_SPAN}"),
        ([{"start": 0, "label": "X"}],
         f"'label' item 1 is {{'start': 0, 'label': 'X'}} (dict), not {A_SPAN}"),
        ([[0, 1, "X"], [2, 2, "X"]], "'label' item 2 is empty: [2, 2, 'X']"),
        ([[3, 5, "X"]],
         "'label' item 1 is not inside the text, which has 4 characters: [3, 5, 'X']"),
        ([[-2, 2, "X"]],
         "'label' item 1 is not inside the text, which has 4 characters: [-2, 2, 'X']"),
        ([[3, 1, "X"]],
         "'label' item 1 is not inside the text, which has 4 characters: [3, 1, 'X']"),
        ([[1, 2, "X"]], "'label' item 1 holds only white space: [1, 2, 'X']"),
        ([[0, 1, " "]], "'label' item 1 has an empty label: [0, 1, ' ']"),
        ([{"start": 0, "end": 1, "label": "X", "text": "b"}],
         "'label' item 1 is not what stands there, 'a': "
         "{'start': 0, 'end': 1, 'label': 'X', 'text': 'b'}"),
    ],
)  # fmt: skip
def test_bad_spans(tmp_path: Path, values: object, message: str) -> None:
    rows = [{"text": "a", "label": []}, {"text": "a bc", "label": values}]
    fails(read_ner, written(tmp_path / "a.jsonl", rows), f"F:2: {message}")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"text": "a", "tokens": ["a"], "ner_tags": ["O"], "entities": []},
         "F has both 'ner_tags' and 'entities'; keep one of them"),
        ({"text": "a", "spans": [], "entities": []},
         "F has both 'spans' and 'entities'; keep one of them"),
        ({"text": "a", "label": [], "labels": []},
         "F has both 'label' and 'labels'; keep one of them"),
        ({"text": "a", "span": []},
         "F has no column 'spans'; did you mean 'span'? columns: span, text"),
    ],
)  # fmt: skip
def test_it_must_be_clear_what_to_read(
    tmp_path: Path, row: dict[str, object], message: str
) -> None:
    fails(read_ner, written(tmp_path / "a.jsonl", [row]), message)


def test_a_text_and_a_class_beside_tags_do_not_matter(tmp_path: Path) -> None:
    row = {"text": "a", "tokens": ["a"], "ner_tags": ["B-X"], "label": "news"}
    file = written(tmp_path / "a.jsonl", [row])
    assert read_ner(file) == [AnnotatedText.from_words(["a"], ["B-X"])]
    assert read_classification(file) == [LabelledText("a", ("news",))]


@pytest.mark.parametrize("end", [10, 12])
def test_bytes_are_no_hint_in_plain_ascii(tmp_path: Path, end: int) -> None:
    """There they are characters: a span beyond the text stays beyond it, however it is counted."""
    rows = [{"text": f"Meet Ad{at}", "spans": [[5, end, "P"]]} for at in range(4)]
    why = f"is not inside the text, which has 8 characters: [5, {end}, 'P']"
    more = "(lines 2, 3, 4 are wrong, too)"
    fails(read_ner, written(tmp_path / "a.jsonl", rows), f"F:1: 'spans' item 1 {why} {more}")


def test_a_hint_is_given_where_it_mends_the_row(tmp_path: Path) -> None:
    def in_bytes(text: str, name: str) -> dict[str, Any]:
        start = text.encode().index(name.encode())
        return {"text": text, "spans": [[start, start + len(name.encode()), "P"]]}

    names = ["Zoë", "Renée", "Jürgen"]
    rows = [in_bytes(f"für {name}", name) for name in names]
    hint = "(offsets may count bytes of UTF-8: count characters)"
    file = written(tmp_path / "a.jsonl", rows)
    why = "is not inside the text, which has 7 characters"
    more = "(lines 2, 3 are wrong, too)"
    fails(read_ner, file, f"F:1: 'spans' item 1 {why}: [5, 9, 'P'] {hint} {more}")
    rows = [in_bytes(f"für {name} – so", name) for name in names]
    rows.append({"text": "Meet Ada", "spans": [[5, 9, "P"]]})
    file = written(tmp_path / "a.jsonl", rows)
    why = "is not inside the text, which has 8 characters"
    fails(read_ner, file, f"F:4: 'spans' item 1 {why}: [5, 9, 'P']")


def test_utf16_offsets_beyond_the_text_or_inside_a_character(tmp_path: Path) -> None:
    rows = [{"text": f"🎉 at {name}", "spans": [[6, 9, "P"]]} for name in ("Ada", "Bob", "Leo")]
    for span in ([6, 12, "P"], [1, 9, "P"]):
        file = written(tmp_path / "a.jsonl", [*rows, {"text": "🎉 at Eve", "spans": [span]}])
        why = "is not inside the text, which has 8 characters"
        fails(read_ner, file, f"F:4: 'spans' item 1 {why}: {span}")


# Label Studio


def task(data: object, *results: object, **more: object) -> dict[str, object]:
    return {"data": data, "annotations": [{"result": result, **more} for result in results]}


def test_label_studio_choices_and_skipped_tasks(tmp_path: Path) -> None:
    def chosen(*names: str) -> list[object]:
        return [{"type": "choices", "value": {"choices": list(names)}}, {"type": "relation"}]

    rows = [
        task({"text": "a", "title": "t"}, chosen("x", "y")),
        task({"text": "b"}),
        task({"text": "c"}, chosen("x"), was_cancelled=True),
        task({"text": "d"}, chosen("x"), chosen("y")),
        task({"text": "e"}, chosen("x"), chosen("x")),
    ]
    notes = Notes()
    file = written(tmp_path / "a.json", rows)
    assert read_classification(file, notes) == [
        LabelledText("a", ("x", "y")),
        LabelledText("d", ("x",)),
        LabelledText("e", ("x",)),
    ]
    assert notes.lines() == [
        f"annotations of the type 'relation', which are not read: 3 "
        f"({file}, row 1, {file}, row 4, {file}, row 5)",
        f"tasks without an annotation, left out: 2 ({file}, row 2, {file}, row 3)",
        f"annotations that skip a task, left out: 1 ({file}, row 3)",
        f"tasks with several annotations, of which the first is read: 1 ({file}, row 4)",
    ]
    assert read_texts(file) == ["a", "b", "c", "d", "e"]
    fails(read_ner, file, "F is annotated with choices alone")
    span = {"value": {"start": 0, "end": 1, "labels": ["X"]}}
    file = written(tmp_path / "b.json", [task({"text": "a"}, [span]), task({"text": "b"}, [])])
    assert [row.entities for row in read_ner(file)] == [((0, 1, "X"),), ()]
    fails(read_classification, file, "F is annotated with spans alone")


def test_label_studio_says_which_of_several_texts_is_annotated(tmp_path: Path) -> None:
    def choice(name: str, of: object) -> dict[str, object]:
        return {"to_name": of, "type": "choices", "value": {"choices": [name]}}

    def region(of: object) -> dict[str, object]:
        return {"to_name": of, "value": {"start": 0, "end": 3, "labels": ["P"]}}

    data = {"text": "the note", "title": "Ada asks", "source": "mail"}
    other = {"text": "not so", "title": "Bo asks"}

    def read_notes(read: Any, *rows: Any) -> list[str]:
        notes = Notes()
        texts.extend(getattr(row, "text", row) for row in read(file(*rows), notes))
        return [line.partition(" (" + str(tmp_path))[0] for line in notes.lines()]

    def file(*rows: Any) -> Path:
        return written(tmp_path / "a.json", [*rows])

    texts: list[str] = []
    # Of each family its own annotations count, and of all tasks: one may have none.
    row = task(data, [choice("x", "title"), region("text")])
    assert read_notes(read_classification, row) == []
    assert read_notes(read_ner, row, task(other, [])) == []
    assert read_notes(read_ner, task(data, [region("title")]), task(other, [])) == []
    assert texts == ["Ada asks", "the note", "not so", "Ada asks", "Bo asks"]
    assert read_texts(file(task(data, [choice("x", "title")]))) == ["Ada asks"]
    # A name of the project's own says nothing about the keys of a task.
    for name in ("txt", None, ["text"]):
        (note,) = read_notes(read_classification, task(data, [choice("x", name)]))
        assert note == "tasks with several texts ('text', 'title'), of which 'text' is read: 1"
    image = {"text": "so it is", "image": "/data/upload/1.png"}
    both = [choice("x", "text"), choice("y", "image")]
    (note,) = read_notes(read_classification, task(image, both))
    assert note == "annotations of 'image', where 'text' is read, left out: 1"
    assert read_classification(file(task(image, both)))[0].labels == ("x",)
    fails(
        read_classification,
        file(task(data, [choice("x", "text"), choice("y", "title")])),
        "F, row 1: the annotations are of 'text' and 'title'; keep those of one of them",
    )
    fails(
        read_classification,
        file(task(image, both[1:])),
        "F, row 1: 'image' is an address, not text; put the text itself into the task: "
        "'/data/upload/1.png'",
    )
    short = {"title": "Ada asks", "text": "a", "id": 1, "label": "x", "annotator": 1}
    short["lead_time"] = 2.5
    (note,) = read_notes(read_classification, short)
    assert note == "tasks with several texts ('text', 'title'), of which 'text' is read: 1"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (task({"a": "x", "b": "y"}, []), "'data' has 'a' and 'b'; call the one to read 'text'"),
        (task({"a": 1}, []), "'data' has no text; call the one to read 'text'"),
        (task("x", []), "'data' is 'x' (str), not an object"),
        (task({"text": "x"}, "y"), "'result' is 'y' (str), not a list of objects"),
        (task({"text": "x"}, [{"value": 1}]), "'value' is 1 (int), not an object"),
        (task({"text": "x"}, [{"value": {"choices": "y"}}]),
         "'choices' is 'y' (str), not a list of strings"),
        ({"data": {"text": "x"}, "annotations": [1]},
         "'annotations' is [1] (list), not a list of objects"),
    ],
)  # fmt: skip
def test_bad_label_studio(tmp_path: Path, row: object, message: str) -> None:
    fails(read_ner, written(tmp_path / "a.json", [row]), f"F, row 1: {message}")


# spaCy


def test_spacy_categories(tmp_path: Path) -> None:
    rows = [["a", {"cats": {"x": 1.0, "y": 0.4, "z": 0.5}}], ["b", {"cats": {"x": 0}}]]
    want = [LabelledText("a", ("x", "z")), LabelledText("b", ())]
    assert read_classification(written(tmp_path / "a.json", rows)) == want
    tokens = pytest.importorskip("spacy.tokens")
    vocab = pytest.importorskip("spacy.vocab").Vocab()
    documents = tokens.DocBin()
    for text, more in rows:
        document = tokens.Doc(vocab, words=[text], spaces=[False])
        document.cats = more["cats"]
        documents.add(document)
    file = tmp_path / "a.spacy"
    documents.to_disk(file)
    assert read_classification(file) == want
    assert read_texts(file) == ["a", "b"]
    fails(read_ner, file, "F, row 1: the document has no entity annotation")
    unknown = tokens.Doc(vocab, words=["a", "b", "c"], ents=["B-X", "O", ""])
    tokens.DocBin(docs=[unknown]).to_disk(file)
    why = "1 of 3 words are not annotated, such as 'c'; leave the document out or, if they are no "
    fails(
        read_ner, file, f'F, row 1: {why}entities, call doc.set_ents(doc.ents, default="outside")'
    )
    documents = tokens.DocBin(docs=[tokens.Doc(vocab, words=["a"], ents=["B-X"])])
    documents.to_disk(file)
    fails(read_classification, file, "F, row 1: the document has no categories")
    file.write_bytes(file.read_bytes()[:-7])
    with pytest.raises(UserError, match=r"^[^\n]*a\.spacy is not a spaCy DocBin: [^\n]+$"):
        read_ner(file)


def test_bad_spacy_json(tmp_path: Path) -> None:
    rows: list[Any] = [{"paragraphs": [{"raw": "a"}]}]
    why = "'paragraphs' is not spaCy's: it wants sentences of tokens with 'orth' and 'ner'"
    fails(read_ner, written(tmp_path / "a.json", rows), f"F, row 1: {why} ('sentences')")
    rows = [["a", {"cats": {"x": "yes"}}]]
    message = "F, row 1: 'cats' is {'x': 'yes'} (dict), not an object of labels with numbers"
    fails(read_classification, written(tmp_path / "a.json", rows), message)


@pytest.mark.parametrize(
    "span",
    [
        {"start": 5, "end": 8, "label": "who"},
        {"start": 5, "end": 8, "text": "Eva", "type": "who", "score": 0.9},  # onetrunk's answers
        {"start": 5, "end": 8, "entity_group": "who", "word": "eva"},  # transformers' pipeline
        {"start": 5, "end": 8, "entity": "who", "value": "Eva"},  # Rasa, Wit
        {"offset": 5, "length": 3, "category": "who"},  # Azure
        {"start_offset": 5, "end_offset": 8, "tag": "who"},
        {"start": 5, "end": 8, "type": "who", "tag": "who"},
        {"start": 5, "end": 8, "label": "who", "type": "span"},
    ],
)
def test_spans_as_others_write_them(span: dict[str, Any]) -> None:
    assert read("meet Eva", [span]).entities == ((5, 8, "who"),)


@pytest.mark.parametrize(
    "span",
    [
        {"start": 5, "end": 8, "type": "name", "category": "who"},  # which of them?
        {"start": 5, "end": 8, "type": 3},
        {"start": 5, "end": 8},
        {"offset": 5, "category": "who"},
        {"offset": 5, "length": "3", "category": "who"},
    ],
)
def test_spans_without_one_label_or_end(span: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"^F:7: 'spans' item 1 is .* not \[start, end, label\]"):
        read("meet Eva", [span])


@pytest.mark.parametrize("suffix", [".json", ".jsonl"])
def test_rows_of_gliner(tmp_path: Path, suffix: str) -> None:
    words = ["Eva", "lives", "in", "New", "York"]
    rows = [
        {"tokenized_text": words, "ner": [[3, 4, "city"], [0, 0, "who"]]},
        {"tokenized_text": ["nothing"], "ner": []},
    ]
    assert read_ner(written(tmp_path / f"a{suffix}", rows)) == [
        AnnotatedText("Eva lives in New York", ((0, 3, "who"), (13, 21, "city"))),
        AnnotatedText("nothing"),
    ]
    rows = [rows[0], {"tokenized_text": ["a"], "ner": [[0, 1, "who"]]}]
    place = "F, row 2" if suffix == ".json" else "F:2"
    message = "'ner' item 1 is [0, 1, 'who'] (list), not [first word, last word, type], counted "
    message += "from 0; words: 1"
    fails(read_ner, written(tmp_path / f"b{suffix}", rows), f"{place}: {message}")


def test_types_that_look_like_tags_of_one_word_are_noted(tmp_path: Path) -> None:
    file, notes = tmp_path / "a.jsonl", Notes()
    spans = [[0, 3, "S-PER"], [8, 10, "U-PER"]]
    row = {"text": "Ada and Bo", "spans": spans}
    assert [kind for *_, kind in read_ner(written(file, [row]), notes)[0].entities] == [
        "S-PER", "U-PER",
    ]  # fmt: skip
    assert notes.lines()[0].startswith("spans whose labels look like tags, read as types: 2 (")


def test_the_file_of_ner_annotator(tmp_path: Path) -> None:
    annotations = [["Ada sang", {"entities": [[0, 3, "P"]]}], None, ["no", {"entities": []}]]
    file = tmp_path / "a.json"
    file.write_text(json.dumps({"classes": ["P"], "annotations": annotations}))
    want = [AnnotatedText("Ada sang", ((0, 3, "P"),)), AnnotatedText("no")]
    assert read_ner(file) == want


def test_two_different_labels_of_one_span(tmp_path: Path) -> None:
    span = {"start": 0, "end": 3, "label": "P", "labels": ["L"]}
    file = written(tmp_path / "a.jsonl", [{"text": "Ada", "spans": [span]}])
    with pytest.raises(UserError, match="not a span with one of 'label' and 'labels'"):
        read_ner(file)
    span["labels"] = ["P"]
    assert read_ner(written(file, [{"text": "Ada", "spans": [span]}]))[0].entities == ((0, 3, "P"),)
