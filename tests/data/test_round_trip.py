"""The same sentences, written in every format that can hold them, load to the same rows."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import random
from collections.abc import Callable
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from onetrunk.data.notes import Notes
from onetrunk.data.rows import AnnotatedText
from onetrunk.data.sources import read_ner, read_nested

SENTENCES = 1000

# Emoji with modifiers, CJK, right-to-left, combining marks, zero-width, controls of direction.
EMOJI = "👩🏽‍💻 👨‍👩‍👧 🇩🇪 ❤️ 𝔘𝔫𝔦 \U0010fffd"
SCRIPTS = "日本語 中 한국어 שָׁלוֹם مَرْحَبًا نیم‌فاصله é e\u0301 ñ̃ ½ ﬁ Zoë"
INVISIBLE = "\u200b \u200d \ufeff \u2060 \u202e \u00ad"
PLAIN = ". , \" ' \\ # - O B-PER 007 don't {} [] <b> a"
PIECES = " ".join([EMOJI, SCRIPTS, INVISIBLE, PLAIN]).split(" ")
RANGES = ((0x21, 0x7E), (0xA1, 0x17F), (0x300, 0x36F), (0x5D0, 0x5EA), (0x621, 0x64A),
          (0x4E00, 0x9FFF), (0x1F300, 0x1F64F), (0x1F3FB, 0x1F3FF), (0xFE00, 0xFE0F))  # fmt: skip
TYPES = ("PER", "日付", "a-b", "ORG")


class Sentence(NamedTuple):
    tokens: list[str]
    spans: list[tuple[int, int, str]]
    """First word, word after the last, type."""


def _sentence(rng: random.Random) -> Sentence:
    tokens = []
    for _ in range(rng.randint(1, 12)):
        drawn = [rng.choice(PIECES) for _ in range(rng.randint(0, 2))]
        drawn += [chr(rng.randint(*rng.choice(RANGES))) for _ in range(rng.randint(0, 4))]
        rng.shuffle(drawn)
        # A byte order mark at the start of a line is that of a file.
        tokens.append("".join(drawn).lstrip("\ufeff") or "x")
    spans, at = [], 0
    while (at := at + rng.choice((0, 0, 1, 3))) < len(tokens):
        end = min(len(tokens), at + rng.randint(1, 3))
        spans.append((at, end, rng.choice(TYPES)))
        at = end
    return Sentence(tokens, spans)


@pytest.fixture(scope="module")
def sentences() -> list[Sentence]:
    rng = random.Random(7)
    return [_sentence(rng) for _ in range(SENTENCES)]


@pytest.fixture(scope="module")
def want(sentences: list[Sentence]) -> list[AnnotatedText]:
    return [AnnotatedText.from_words(s.tokens, tags(s, "BIIB")) for s in sentences]


def tags(sentence: Sentence, letters: str) -> list[str]:
    """The tags with the letters for an entity's first, inner, last and only word."""
    made = ["O"] * len(sentence.tokens)
    first, inner, last, only = letters
    for start, end, kind in sentence.spans:
        made[start] = f"{first if end - start > 1 else only}-{kind}"
        for at in range(start + 1, end):
            made[at] = f"{last if at == end - 1 else inner}-{kind}"
    return made


def iob1(sentence: Sentence) -> list[str]:
    made = tags(sentence, "IIII")
    for (_, end, kind), (start, _, following) in zip(
        sentence.spans, sentence.spans[1:], strict=False
    ):
        if end == start and kind == following:
            made[start] = f"B-{kind}"
    return made


def characters(sentence: Sentence) -> list[tuple[int, int, str]]:
    ends = [*accumulate(len(token) + 1 for token in sentence.tokens)]
    starts = [end - len(token) - 1 for token, end in zip(sentence.tokens, ends, strict=True)]
    return [(starts[start], ends[end - 1] - 1, kind) for start, end, kind in sentence.spans]


def text(sentence: Sentence) -> str:
    return " ".join(sentence.tokens)


# Formats of words with tags


def columns(sentences: list[Sentence]) -> list[dict[str, Any]]:
    return [{"tokens": s.tokens, "ner_tags": tags(s, "BIIB")} for s in sentences]


def json_lines(rows: list[Any]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def conll(sentences: list[Sentence], between: str = "\t", how: Any = None) -> bytes:
    lines = []
    for sentence in sentences:
        made = how(sentence) if how else tags(sentence, "BIIB")
        pairs = zip(sentence.tokens, made, strict=True)
        lines += [f"{token}{between}{tag}" for token, tag in pairs] + [""]
    return "\n".join(lines).encode()


def conll_u_plus(sentences: list[Sentence]) -> bytes:
    lines = ["# global.columns = ID FORM X:NER MISC"]
    for number, sentence in enumerate(sentences):
        lines += [f"# sent_id = {number}", "# text = ...", "1-2\tboth\t_\t_"]
        pairs = zip(sentence.tokens, tags(sentence, "BIIB"), strict=True)
        lines += [f"{at}\t{token}\t{tag}\t_" for at, (token, tag) in enumerate(pairs, 1)] + [""]
    return "\n".join(lines).encode()


def spacy_training(sentences: list[Sentence]) -> bytes:
    documents = []
    for number, sentence in enumerate(sentences):
        pairs = zip(sentence.tokens, tags(sentence, "BILU"), strict=True)
        tokens = [{"id": at, "orth": word, "ner": tag} for at, (word, tag) in enumerate(pairs)]
        paragraphs = [{"raw": text(sentence), "sentences": [{"tokens": tokens}]}]
        documents.append({"id": number, "paragraphs": paragraphs})
    return json.dumps(documents, indent=1).encode()


WORD_FORMATS: dict[str, Callable[[list[Sentence]], bytes]] = {
    "a.jsonl": lambda s: json_lines(columns(s)),
    "a.json": lambda s: json.dumps(columns(s)).encode(),
    "rows.json": lambda s: json_lines(columns(s)),
    "a.conll": conll,
    "a.txt": lambda s: conll(s, " "),
    "a.tsv": lambda s: conll(s, "\tNN\t").replace(b"\n", b"\r\n"),
    "plain.conllu": conll,
    "a.conllup": conll_u_plus,
    "iob1.iob": lambda s: conll(s, how=iob1),
    "bioes.bio": lambda s: conll(s, how=lambda one: tags(one, "BIES")),
    "bmes.conll": lambda s: conll(s, how=lambda one: tags(one, "BMES")),
    "bilou.iob2": lambda s: conll(s, how=lambda one: tags(one, "BILU")),
    "spacy.json": spacy_training,
    "a.jsonl.gz": lambda s: gzip.compress(json_lines(columns(s))),
    "a.jsonl.bz2": lambda s: bz2.compress(json_lines(columns(s))),
    "a.conll.xz": lambda s: lzma.compress(conll(s)),
    "a.json.zst": lambda s: pa.compress(json.dumps(columns(s)).encode(), "zstd", asbytes=True),
}


@pytest.mark.parametrize("name", WORD_FORMATS)
def test_words_with_tags(
    tmp_path: Path, name: str, sentences: list[Sentence], want: list[AnnotatedText]
) -> None:
    (tmp_path / name).write_bytes(WORD_FORMATS[name](sentences))
    notes = Notes()
    assert read_ner(tmp_path / name, notes) == want
    schemes = {"iob1": "IOB1", "bioes": "BIOES", "bmes": "BIOES", "bilou": "BILOU"}
    scheme = schemes.get(name.split(".")[0], "BILOU" if name == "spacy.json" else "")
    said = [f"{scheme} tags converted to IOB2"] if scheme else []
    assert [what for what in notes.found if "converted" in what] == said


def test_tables(tmp_path: Path, sentences: list[Sentence], want: list[AnnotatedText]) -> None:
    table = pa.Table.from_pylist(columns(sentences))
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=300)
    assert read_ner(tmp_path / "a.parquet") == want
    with pa.ipc.new_stream(tmp_path / "stream.arrow", table.schema) as stream:
        stream.write_table(table)
    assert read_ner(tmp_path / "stream.arrow") == want
    with pa.ipc.new_file(tmp_path / "file.arrow", table.schema) as file:
        file.write_table(table, max_chunksize=130)
    assert read_ner(tmp_path / "file.arrow") == want


def test_shards(tmp_path: Path, sentences: list[Sentence], want: list[AnnotatedText]) -> None:
    for number in range(11):  # 10 comes after 2
        part = sentences[number * 100 : (number + 1) * 100]
        (tmp_path / f"train_{number}.conll").write_bytes(conll(part or sentences[:1]))
    assert read_ner(tmp_path) == [*want, want[0]]
    folder = tmp_path / "set" / "train"
    folder.mkdir(parents=True)
    (folder / "1.jsonl.gz").write_bytes(gzip.compress(json_lines(columns(sentences[:400]))))
    pq.write_table(pa.Table.from_pylist(columns(sentences[400:])), folder / "2.parquet")
    assert read_ner(tmp_path / "set") == want


def test_datasets(
    tmp_path: Path,
    sentences: list[Sentence],
    want: list[AnnotatedText],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    datasets.disable_progress_bars()
    rows = columns(sentences)
    names = sorted({tag for row in rows for tag in row["ner_tags"]})
    tagged = datasets.List(datasets.ClassLabel(names=names))
    features = {"tokens": datasets.List(datasets.Value("string")), "ner_tags": tagged}
    made = datasets.Dataset.from_list(rows, features=datasets.Features(features))
    made.save_to_disk(tmp_path / "saved", num_shards=3)
    assert read_ner(tmp_path / "saved") == want
    datasets.DatasetDict({"train": made}).save_to_disk(tmp_path / "dict")
    assert read_ner(tmp_path / "dict") == want
    (tmp_path / "hub").mkdir()
    made.to_parquet(tmp_path / "hub" / "train.parquet")
    assert pq.read_table(tmp_path / "hub" / "train.parquet")["ner_tags"][0][0].as_py() in range(9)
    assert read_ner(tmp_path / "hub" / "train.parquet") == want
    assert read_ner(f"hub:{tmp_path / 'hub'}") == want


# Formats of text with spans


def label_studio(sentences: list[Sentence], utf16: bool = False) -> list[dict[str, Any]]:
    def offset(sentence: Sentence, at: int) -> int:
        return len(text(sentence)[:at].encode("utf-16-le")) // 2 if utf16 else at

    return [
        {
            "id": number,
            "data": {"sentence": text(sentence), "source": number},
            "annotations": [
                {
                    "result": [
                        {
                            "type": "labels",
                            "value": {
                                "start": offset(sentence, start),
                                "end": offset(sentence, end),
                                "text": text(sentence)[start:end],
                                "labels": [kind],
                            },
                        }
                        for start, end, kind in characters(sentence)
                    ]
                }
            ],
        }
        for number, sentence in enumerate(sentences)
    ]


def span_objects(sentence: Sentence, start: str, end: str) -> list[dict[str, Any]]:
    return [dict(zip((start, end, "label"), span, strict=True)) for span in characters(sentence)]


SPAN_FORMATS: dict[str, Callable[[list[Sentence]], list[Any]]] = {
    "doccano.jsonl": lambda s: [{"text": text(one), "label": characters(one)} for one in s],
    "doccano.jsonl.xz": lambda s: [{"text": text(one), "labels": characters(one)} for one in s],
    "relations.jsonl": lambda s: [
        {"text": text(one), "entities": span_objects(one, "start_offset", "end_offset")}
        for one in s
    ],
    "prodigy.jsonl": lambda s: [
        {"text": text(one), "tokens": [{"id": 0}], "spans": span_objects(one, "start", "end")}
        for one in s
    ],
    "simple.json": lambda s: [[text(one), {"entities": characters(one)}] for one in s],
    "studio.json": label_studio,
    "studio.jsonl": label_studio,
    "short.json": lambda s: [
        {"text": task["data"]["sentence"], "label": [r["value"] for r in one["result"]]}
        for task in label_studio(s)
        for one in task["annotations"]
    ],
}


@pytest.mark.parametrize("name", SPAN_FORMATS)
def test_text_with_spans(
    tmp_path: Path, name: str, sentences: list[Sentence], want: list[AnnotatedText]
) -> None:
    rows = SPAN_FORMATS[name](sentences)
    data = json_lines(rows) if "jsonl" in name else json.dumps(rows).encode()
    (tmp_path / name).write_bytes(lzma.compress(data) if name.endswith("xz") else data)
    notes = Notes()
    assert read_ner(tmp_path / name, notes) == want
    spans = [what for what in notes.found if "span" in what]
    assert set(spans) <= {
        "spans with white space at an edge, which is left out",
        "spans that begin or end inside a word",
    }


def test_spans_in_parquet(
    tmp_path: Path, sentences: list[Sentence], want: list[AnnotatedText]
) -> None:
    rows = [{"text": text(one), "spans": span_objects(one, "start", "end")} for one in sentences]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    assert read_ner(tmp_path / "a.parquet") == want


def test_utf16_offsets(
    tmp_path: Path, sentences: list[Sentence], want: list[AnnotatedText]
) -> None:
    data = json.dumps(label_studio(sentences, utf16=True)).encode()
    (tmp_path / "a.json").write_bytes(data)
    notes = Notes()
    assert read_ner(tmp_path / "a.json", notes) == want
    what = "texts with span offsets in UTF-16 units, converted to characters"
    assert notes.found[what].count > SENTENCES / 2


def test_spacy(tmp_path: Path, sentences: list[Sentence], want: list[AnnotatedText]) -> None:
    tokens = pytest.importorskip("spacy.tokens")
    vocab = pytest.importorskip("spacy.vocab").Vocab()
    documents = tokens.DocBin()
    for sentence in sentences:
        spaces = [True] * (len(sentence.tokens) - 1) + [False]
        document = tokens.Doc(vocab, words=sentence.tokens, spaces=spaces)
        spans = [tokens.Span(document, *span) for span in sentence.spans]
        document.set_ents(spans, default="outside")
        documents.add(document)
    documents.to_disk(tmp_path / "a.spacy")
    assert read_ner(tmp_path / "a.spacy") == want


def test_span_groups_of_spacy(tmp_path: Path) -> None:
    tokens = pytest.importorskip("spacy.tokens")
    vocab = pytest.importorskip("spacy.vocab").Vocab()
    document = tokens.Doc(vocab, ["Ada", "flew", "home"])
    document.ents = [tokens.Span(document, 0, 1, label="PER")]
    document.spans["sc"] = [tokens.Span(document, 0, 2, label="EV")]
    file, notes = tmp_path / "a.spacy", Notes()
    tokens.DocBin(docs=[document]).to_disk(file)
    assert read_nested(file)[0].entities == ((0, 3, "PER"), (0, 8, "EV"))
    assert read_ner(file, notes)[0].entities == ((0, 3, "PER"),)
    assert "spans in groups, which the family nested-ner reads" in notes.lines()[0]
