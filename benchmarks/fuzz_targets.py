"""What fuzzing throws at every part that reads what others wrote, and what has to hold.

A target is a class whose instance is called with a random generator, once a case. A case that
raises has found a fault: only :class:`UserError`, in one line, is an answer to wrong input.
"""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

from fuzz_folders import Folders
from onetrunk.benchmark.suite_file import load_suite
from onetrunk.bundle.app import BundledApp, read_lora
from onetrunk.bundle.parity import hostile_texts
from onetrunk.bundle.runtime import Runtime
from onetrunk.config import load_recipe
from onetrunk.data.alignment import align_tokens, encode, encode_windows
from onetrunk.data.notes import Notes
from onetrunk.data.rows import AnnotatedText, LabelledText
from onetrunk.data.sources import (
    read_classification,
    read_ner,
    read_nested,
    read_pairs,
    read_texts,
)
from onetrunk.data.units import units_of
from onetrunk.decoding import DECODERS, best_valid_path, softmax, tag_names
from onetrunk.errors import UserError

Case = Callable[[random.Random], object]
ROOT = Path(__file__).parents[1]
LONGEST = 2000
"""Characters of a message."""
LABELS = ["PER", "LOC", "a b", "ü-1"]
TOKENS = [
    *("mum", "Ann", "in", "New", "York", "12:30", "don't", "日本", "naïve", "e\u0301a", "😀", "𝔘x"),
    *("שלום", "#tag", "#", "a,b", "a;b", "x|y", '"', '""', "'", "-", "B-PER", "O", "1", "0", "NaN"),
    *("null", "=1+1", "\u00a0x", "\u3000x", "x\u200by", "x\u2028y", "x\x85y", "\\n", "\\", "-1e5"),
]
INSERTED = [
    *(b'"', b"'", b",", b";", b"\t", b"\n", b"\r", b"\r\n", b"\n\n", b"\0", b"\xff", b"\xc3"),
    *(b"\xef\xbb\xbf", b"\xff\xfe", b"[", b"]", b"{", b"}", b":", b"null", b"NaN", b"1e999", b"-1"),
    *(b'"\\ud800"', b"9" * 5000, b"[" * 3000, b'{"a":' * 3000, b"#", b"-DOCSTART-", b"B-", b"I-X"),
    *(b"\xe2\x80\xa8", b"\x85", b"T1\tPER 0 3\tx", b"T2\tX 5 1\t", b"&a", b"*a", b"!!python/tuple"),
    *(b"PAR1", b"PK\3\4", b"\x1f\x8b", b"\x28\xb5\x2f\xfd"),
]


def in_one_line(error: UserError) -> None:
    said = str(error)
    assert said, "no message"
    assert "\n" not in said, f"several lines: {said!r}"
    assert len(said) <= LONGEST, f"{len(said)} characters: {said[:200]!r}"


def mutated(content: bytes, rng: random.Random) -> bytes:
    """Bytes after one to four changes."""
    changed = bytearray(content)
    for _ in range(rng.choice([1, 1, 2, 4])):
        at, to = sorted(rng.randrange(len(changed) + 1) for _ in range(2))
        match rng.randrange(7):
            case 0 if changed:
                changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
            case 1:
                del changed[at : min(to, at + rng.choice([1, 4, 30, 10**6]))]
            case 2:
                changed[at:at] = changed[at : min(to, at + 200)]
            case 3:
                changed[at:at] = rng.randbytes(rng.choice([1, 2, 8]))
            case 4:
                del changed[at:]
            case _:
                changed[at:at] = rng.choice(INSERTED)
    return bytes(changed)


def sentence(rng: random.Random) -> tuple[list[str], list[str]]:
    """Words and IOB2 tags. An entity holds a character that can be seen."""
    words, tags = [], list[str]()
    for _ in range(rng.randint(1, 7)):
        label = rng.choice(LABELS[:2])
        length = rng.choice([0, 0, 0, 1, 2])
        words += ["x" + rng.choice(TOKENS) for _ in range(length)] or [rng.choice(TOKENS)]
        tags += ["O"] if not length else [f"B-{label}", f"I-{label}"][:length]
    return words, tags


def check_entities(row: AnnotatedText, nested: bool = False) -> None:
    """Spans point at what can be seen of the text, in order; those of one type do not overlap."""
    assert isinstance(row.text, str)
    before: dict[str, int] = {}
    assert list(row.entities) == sorted(row.entities, key=lambda span: span[0])
    for start, end, kind in row.entities:
        key = kind if nested else ""
        assert 0 <= start < end <= len(row.text), (row.text, start, end)
        assert row.text[start:end].strip(), (row.text, start, end)
        assert kind.strip()
        assert before.get(key, 0) <= start, row
        before[key] = end


def check_labels(row: LabelledText) -> None:
    assert isinstance(row.text, str)
    assert all(isinstance(label, str) and label.strip() for label in row.labels), row
    assert len({*row.labels}) == len(row.labels), row


# ------------------------------------------------------------------------------------- readers


def json_lines(rows: Sequence[Any]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def delimited(rows: Sequence[dict[str, str]], delimiter: str) -> bytes:
    stream = io.StringIO(newline="")
    writer = csv.DictWriter(stream, ["text", "label"], delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue().encode()


def columnar(table: pa.Table, suffix: str) -> bytes:
    sink = pa.BufferOutputStream()
    if suffix == ".parquet":
        pq.write_table(table, sink)
    else:
        with pa.ipc.new_file(sink, table.schema) as file:
            file.write_table(table)
    return bytes(sink.getvalue())


def conll(sentences: Sequence[tuple[list[str], list[str]]]) -> bytes:
    lines = [
        [f"{word}\t{tag}\n" for word, tag in zip(words, tags, strict=True)]
        for words, tags in sentences
    ]
    return "\n".join("".join(part) for part in lines).encode()


def docbin(sentences: Sequence[tuple[list[str], list[str]]]) -> bytes:
    from spacy.tokens import Doc, DocBin
    from spacy.vocab import Vocab

    vocab = Vocab()
    documents = [
        Doc(vocab, words=words, spaces=[True] * (len(words) - 1) + [False], ents=tags)
        for words, tags in sentences
    ]
    content: bytes = DocBin(docs=documents).to_bytes()
    return content


def workbook(rows: Sequence[dict[str, str]]) -> bytes:
    from openpyxl import Workbook

    book, stream = Workbook(), io.BytesIO()
    for cells in [["text", "label"], *(list(row.values()) for row in rows)]:
        book.active.append(cells)
        for cell in book.active[book.active.max_row]:
            cell.data_type = "s"  # and not a formula
    book.save(stream)
    return stream.getvalue()


def compressed(content: bytes, suffix: str) -> bytes:
    packed: bytes = {
        ".gz": gzip.compress,
        ".bz2": bz2.compress,
        ".xz": lzma.compress,
        ".zst": lambda data: pa.compress(data, "zstd", asbytes=True),
    }[suffix](content)
    return packed


class Reader:
    """A file of one format. Half of them are as they were written, and have to be read as that;
    half are changed, and have to be refused in a line or give rows that make sense."""

    TAGGED = (".jsonl", ".json", ".conll", ".parquet", ".arrow", ".spacy", ".ann")
    """Formats of entities; those of :data:`LABELLED` have a label for each text."""
    LABELLED = (".csv", ".tsv", ".xlsx", ".jsonl.gz", ".csv.bz2", ".jsonl.xz", ".jsonl.zst")

    def __init__(self, suffix: str, place: Path) -> None:
        self.suffix, self.place = suffix, place
        place.mkdir(parents=True, exist_ok=True)
        self.tagged = suffix in self.TAGGED

    def __call__(self, rng: random.Random) -> None:
        file = self.place / f"a{self.suffix}"
        if self.tagged:
            sentences = [sentence(rng) for _ in range(rng.randint(1, 4))]
            content, want = self.of_sentences(sentences, rng)
        else:
            content, want = self.of_texts(rng)
        if rng.random() < 0.5:
            file.write_bytes(content)
            read = read_ner if self.tagged else read_classification
            found = read(file)
            assert found == want, f"{found} is not {want}"
            return
        file.write_bytes(mutated(content, rng))
        check_file(file, rng)

    def of_texts(self, rng: random.Random) -> tuple[bytes, list[Any]]:
        texts = [" ".join(sentence(rng)[0]) for _ in range(rng.randint(2, 5))]
        rows = [{"text": text, "label": rng.choice(LABELS)} for text in texts]
        want = [LabelledText(row["text"], (row["label"],)) for row in rows]
        suffix, _, packing = self.suffix[1:].partition(".")
        if suffix == "xlsx":
            return workbook(rows), want
        plain = json_lines(rows) if suffix == "jsonl" else delimited(rows, "\t,"[suffix == "csv"])
        return compressed(plain, f".{packing}") if packing else plain, want

    def of_sentences(
        self, sentences: list[tuple[list[str], list[str]]], rng: random.Random
    ) -> tuple[bytes, list[Any]]:
        want = [AnnotatedText.from_words(*one) for one in sentences]
        rows = [{"tokens": words, "ner_tags": tags} for words, tags in sentences]
        spans = [{"text": row.text, "spans": [[*span] for span in row.entities]} for row in want]
        if self.suffix == ".ann":
            self.place.joinpath("a.txt").write_bytes(want[0].text.encode())
            lines = [
                f"T{number}\t{kind} {start} {end}\t{want[0].text[start:end]}\n"
                for number, (start, end, kind) in enumerate(want[0].entities, 1)
            ]
            return "".join(lines).encode(), want[:1]
        match self.suffix:
            case ".conll":
                return conll(sentences), want
            case ".spacy":
                return docbin(sentences), want
            case ".parquet" | ".arrow":
                return columnar(pa.Table.from_pylist(rows), self.suffix), want
            case ".json":
                return json.dumps(rng.choice([rows, spans])).encode(), want
        return json_lines(rng.choice([rows, spans])), want


def check_file(file: Path, rng: random.Random) -> None:
    """Whatever a file holds, it is refused in a line, or gives rows that make sense."""
    which = rng.randrange(5)
    notes = Notes()
    try:
        if which < 2:
            nested = bool(which)
            for row in (read_nested if nested else read_ner)(file, notes):
                check_entities(row, nested)
        elif which == 2:
            for labelled in read_classification(file, notes):
                check_labels(labelled)
        elif which == 3:
            assert all(isinstance(text, str) for text in read_texts(file, notes))
        else:
            read_pairs(file, notes)
    except UserError as error:
        in_one_line(error)
    assert not any("\n" in line for line in notes.lines())


# ------------------------------------------------------------------ tokens, units and decoders


def tokenizers() -> list[Tokenizer]:
    """WordPiece, byte-level BPE and Unigram, trained on a few words."""
    lines = [" ".join(TOKENS[:12]), "call mum in new york", "play some music"] * 5
    made = []
    for model, split, trainer in (
        (models.WordPiece(unk_token="[UNK]"), pre_tokenizers.BertPreTokenizer(), "WordPiece"),
        (models.BPE(), pre_tokenizers.ByteLevel(add_prefix_space=False), "Bpe"),
        (models.Unigram(), pre_tokenizers.Metaspace(), "Unigram"),
    ):
        tokenizer = Tokenizer(model)
        tokenizer.pre_tokenizer = split
        if trainer == "WordPiece":
            tokenizer.normalizer = normalizers.BertNormalizer()
        more = {"unk_token": "[UNK]"} if trainer == "Unigram" else {}
        tokenizer.train_from_iterator(
            lines,
            getattr(trainers, f"{trainer}Trainer")(
                vocab_size=400, special_tokens=["[UNK]", "[CLS]", "[SEP]"], show_progress=False,
                **more,
            ),
        )  # fmt: skip
        tokenizer.post_processor = processors.TemplateProcessing(
            "[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
        )
        made.append(tokenizer)
    return made


class Alignment:
    """Tokens point at the text, each unit is read at one token of its own, and the weights of a
    token's pairs are one."""

    def __init__(self) -> None:
        self.tokenizers = tokenizers()

    def __call__(self, rng: random.Random) -> None:
        (text,) = hostile_texts(1, rng.randrange(2**32))
        one, other = rng.sample(self.tokenizers, 2)
        windows = encode_windows(one, [text], rng.choice([4, 5, 8, 16, 512]))[0]
        for window in windows:
            assert len(window.ids) == len(window.offsets)
            assert all(0 <= start <= end <= len(text) for start, end in window.offsets)
        spans, tokens = units_of(text, windows)
        before = 0
        for start, end in spans:
            assert before <= start < end <= len(text)
            before = end
        places = [
            (window, token) for window, part in enumerate(tokens) for token in part
        ]  # in a row, those of all units
        assert len(places) == len(spans)
        for (start, end), (window, token) in zip(spans, places, strict=True):
            first, last = windows[window].offsets[token]
            assert max(first, start) < min(last, end), (text, start, end)
        student, teacher = (encode(t, [text], 512)[0].offsets for t in (one, other))
        pairs = align_tokens(student, teacher)
        totals = np.bincount(pairs.student, pairs.weight) if len(pairs.student) else np.ones(1)
        assert np.allclose(totals[totals > 0], 1)
        assert (pairs.weight > 0).all()
        for s, t in zip(pairs.student, pairs.teacher, strict=True):
            assert student[s][0] < teacher[t][1], text
            assert teacher[t][0] < student[s][1], text


class Decoding:
    """Any logits give an answer of its form: spans within the text that do not overlap (nested:
    not those of one type), probabilities, values on the scale."""

    def __init__(self, name: str) -> None:
        self.decoder, self.name = DECODERS[name], name

    def __call__(self, rng: random.Random) -> None:
        numbers = np.random.default_rng(rng.randrange(2**32))
        labels = ["1", "5"] if self.name == "rating" else LABELS[: rng.randint(1, 4)]
        text = " ".join(rng.choices(TOKENS, k=rng.randint(1, 9)))
        ends = [at for at, letter in enumerate(text) if letter == " "] + [len(text)]
        units = [*zip([0, *(end + 1 for end in ends[:-1])], ends, strict=True)]
        if rng.random() < 0.1 and self.decoder.per_word:
            text, units = "", []
        count = len(units) if self.decoder.per_word else rng.randint(1, 4)
        scale = rng.choice([0.0, 1e-3, 1.0, 10.0, 1e4, 1e30])
        shape = count, self.decoder.classes(labels)
        logits = (scale * numbers.standard_normal(shape)).astype(np.float32)
        if rng.random() < 0.2:
            logits = logits.round()  # ties
        answer = self.decoder.decode(logits, units, labels)
        shown = self.decoder.render(text, answer)
        json.dumps(shown, allow_nan=False)
        if self.decoder.per_word:
            row = AnnotatedText(text, tuple(answer.entities))
            check_entities(row, self.name == "nested-ner")
            edges = {*(start for start, _ in units)}, {*(end for _, end in units)}
            for span, score in zip(answer.entities, answer.scores, strict=True):
                assert span[0] in edges[0]
                assert span[1] in edges[1]
                assert span[2] in labels
                assert 0 <= score <= 1 + 1e-6
            if self.name == "ner" and 0 < count <= 4 and len(labels) == 1 and scale <= 10:
                self.is_best(logits)
        elif self.name == "rating":
            assert 1 <= answer <= 5
        else:
            assert {*answer.labels} <= {*labels}
            assert all(0 <= p <= 1 + 1e-6 for p in answer.probabilities.values())
            if self.name == "tc":
                assert abs(sum(answer.probabilities.values()) - 1) < 1e-5
                assert len(answer.labels) == 1

    def is_best(self, logits: np.ndarray) -> None:
        """No valid sequence of tags is more probable than the one found."""
        log_probs = np.log(np.maximum(softmax(logits.astype(np.float64)), 1e-300))
        names = tag_names(["x"])

        def best(word: int, before: str) -> float:
            if word == len(log_probs):
                return 0.0
            options = [tag for tag in range(3) if names[tag] != "I-x" or before != "O"]
            return max(float(log_probs[word, t]) + best(word + 1, names[t]) for t in options)

        path = best_valid_path(log_probs)
        found = float(log_probs[np.arange(len(path)), path].sum())
        assert abs(found - best(0, "O")) < 1e-9


# ------------------------------------------------------------------------------- loaders, YAML


class Folder:
    """A folder of a kind with one change (:class:`Folders`)."""

    def __init__(self, kind: str, folders: Folders, place: Path) -> None:
        self.kind, self.folders, self.place = kind, folders, place

    def __call__(self, rng: random.Random) -> None:
        self.folders.check(self.kind, rng, self.place / "changed")


class AppFile:
    """The file of a bundled app, whose hash fits what was changed: as one would write it who means
    to do harm. It is refused in a line, or is an app."""

    def __init__(self, bundle: Path) -> None:
        self.files = [file.read_bytes() for file in sorted((bundle / "apps").iterdir())]
        self.loras = [file.read_bytes() for file in sorted((bundle / "primary").iterdir())]

    def __call__(self, rng: random.Random) -> None:
        try:
            if rng.random() < 0.2:
                for array in read_lora(mutated(rng.choice(self.loras), rng), "x").values():
                    assert np.isfinite(array).all()
                return
            app = BundledApp.from_bytes("x", self.changed(rng), "x")
            states = np.zeros((2, app.weight.shape[1]), np.float32)
            with np.errstate(all="ignore"):
                app.logits(states)
        except UserError as error:
            in_one_line(error)

    def changed(self, rng: random.Random) -> bytes:
        content = rng.choice(self.files)
        size = int.from_bytes(content[:8], "little")
        if rng.random() < 0.5:
            return mutated(content, rng)
        header = mutated(content[8 : 8 + size], rng)  # most changes elsewhere are of numbers
        return len(header).to_bytes(8, "little") + header + content[8 + size :]


class Yaml:
    """A recipe or a suite: refused in a line, or read."""

    def __init__(self, kind: str, place: Path) -> None:
        self.load: Callable[[Path], object] = load_recipe
        names = ["tpl", "paper", "muppet"]
        if kind == "suite":
            names, self.load = ["suite21"], lambda path: load_suite(path, files=False)
        self.files = [(ROOT / "recipes" / f"{name}.yaml").read_bytes() for name in names]
        place.mkdir(parents=True, exist_ok=True)
        self.file = place / f"{kind}.yaml"

    def __call__(self, rng: random.Random) -> None:
        self.file.write_bytes(mutated(rng.choice(self.files), rng))
        try:
            self.load(self.file)
        except UserError as error:
            in_one_line(error)


# ----------------------------------------------------------------------------------------- HTTP


class Http:
    """A request to the service: an answer whose offsets point at its text, or a fault in one line.
    No body makes it fail."""

    def __init__(self, bundle: Path, client: Any) -> None:
        """``client``: of starlette, for an app that may be changed."""
        self.client = client
        self.apps = [file.read_bytes() for file in sorted((bundle / "apps").iterdir())]

    def __call__(self, rng: random.Random) -> None:
        texts = hostile_texts(rng.randint(0, 3), rng.randrange(2**32))
        route = rng.choice(["predict", "embed", "apps/new/teach", "apps/new"])
        bodies: dict[str, Any] = {
            "predict": {"texts": texts, "apps": rng.choice([None, ["calendar"], ["none"]])},
            "embed": {"texts": texts},
            "apps/new/teach": {
                "family": rng.choice(["tc", "ner", "rating"]),
                "examples": [{"text": text, "label": "a"} for text in texts],
            },
        }
        method = "PUT" if route == "apps/new" else "POST"
        content = (
            rng.choice(self.apps) if route == "apps/new" else json.dumps(bodies[route]).encode()
        )
        is_whole = rng.random() < 0.3 and route in ("predict", "embed")
        if not is_whole:
            content = mutated(content, rng)
        answer = self.client.request(method, f"/v1/{route}", content=content)
        assert answer.status_code < 500, (answer.status_code, answer.text[:300])
        found = answer.json()
        if answer.status_code >= 400:
            assert found["error"]
            assert "\n" not in found["error"], found
        elif route == "predict":
            for result in found["results"]:
                for app in result["apps"].values():
                    for entity in app.get("entities", ()):
                        start, end = entity["start"], entity["end"]
                        assert result["text"][start:end] == entity["text"]


def service(bundle: Path) -> Any:
    """A client of a service in this process, which may change its apps."""
    from fastapi.testclient import TestClient

    from onetrunk.serving.api import create_app

    app = create_app(Runtime(bundle, threads=1), bundle=bundle, token="t")
    client = TestClient(app, raise_server_exceptions=False)
    client.headers |= {"authorization": "Bearer t", "content-type": "application/json"}
    return client
