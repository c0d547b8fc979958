"""Text pairs from raw documents: weak supervision for text classification.

Two texts belong together because of how documents are written (Wang et al. 2022, "Text Embeddings
by Weakly-Supervised Contrastive Pre-training"): a title and its body, a question and its answer,
neighbouring passages, and a text and the name of its label.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import regex

from onetrunk.data.formats.table import Stream, Table, blocks, show, wrong
from onetrunk.data.notes import Notes
from onetrunk.data.rows import Pair, Span
from onetrunk.errors import UserError, nearest
from onetrunk.label.files import read_columns
from onetrunk.label.labelers.pieces import words_of
from onetrunk.storage import atomic_folder, write_json

KINDS = ("title-body", "question-answer", "adjacent", "label-synonyms")
PASSAGE_WORDS = 100
EXAMPLES = 5

Numbered = Iterator[tuple[int, Pair]]
"""Pairs with the number of the source row, from 0."""

_SENTENCE = regex.compile(r"(?<=[.!?…][\"'”’)\]]?)\s+|(?<=[。！？])|\n\s*\n")
_SCHEMA = pa.schema({"source_row": pa.int64(), "query": pa.string(), "positive": pa.string()})


def title_body(rows: Stream, notes: Notes) -> Numbered:
    """Column ``title`` with ``body`` or, where there is none, ``text``."""
    body = "body" if "body" in rows.names or "text" not in rows.names else "text"
    return _two_columns(rows, "title", body, notes)


def question_answer(rows: Stream, notes: Notes) -> Numbered:
    """Column ``question`` with ``answer``."""
    return _two_columns(rows, "question", "answer", notes)


def adjacent(texts: Iterable[str], notes: Notes) -> Numbered:
    """Neighbouring passages of each text: the first with the second, the third with the fourth.

    No passage is in two pairs: in a batch it would be its own false negative. A passage left over
    at the end, and texts of one passage, are counted.
    """
    for row, text in enumerate(texts):
        found = [text[start:end] for start, end in passages(text)]
        for query, positive in zip(found[::2], found[1::2], strict=False):
            yield row, Pair(query, positive)
        if len(found) < 2:
            notes.add("texts shorter than two passages", f"text {row + 1}")
        elif len(found) % 2:
            notes.add("last passages without a neighbour", f"text {row + 1}")


def label_synonyms(rows: Stream, names: Mapping[str, Sequence[str]], notes: Notes) -> Numbered:
    """Column ``text`` with a name of its ``label``; the names of a label take turns.

    Raises UserError for a label that ``names`` does not hold.
    """
    turn: Counter[str] = Counter()
    for row, (table, at, text, label) in enumerate(_cells(rows, "text", "label")):
        if isinstance(label, int) and not isinstance(label, bool):
            label = str(label)
        if not _text(table, at, "text", text) or not _text(table, at, "label", label):
            notes.add("rows without a text or a label", table.at(at))
            continue
        if label not in names:
            raise UserError(
                f"{table.at(at)}: label {show(label)} has no name; {nearest(label, names)}"
            )
        choices = names[label]
        yield row, Pair(text, choices[turn[label] % len(choices)])
        turn[label] += 1
    for label in names.keys() - turn.keys():
        notes.add("labels with names but no text", label)


def read_names(path: str | Path) -> dict[str, list[str]]:
    """Names of labels: a file with the columns ``label`` and ``name``, a row for each name."""
    names: dict[str, list[str]] = {}
    for label, name, _ in read_columns(path, "label", "name"):
        names.setdefault(label, [])
        if name not in names[label]:
            names[label].append(name)
    return names


def passages(text: str) -> list[Span]:
    """Cut a text between sentences into passages of about ``PASSAGE_WORDS`` words.

    A passage ends where it has as many words, or half as many at the end of a paragraph. What is
    left at the end joins the last passage if it has fewer than half.
    """
    cut: list[Span] = []
    start, words, at = 0, 0, 0
    ends = [match.span() for match in _SENTENCE.finditer(text)]
    for end, after in [*ends, (len(text), len(text))]:
        words += len(words_of(text[at:end]))
        at = after
        paragraph = text.count("\n", end, after) > 1 or after == len(text)
        if words >= PASSAGE_WORDS or (paragraph and words >= PASSAGE_WORDS // 2):
            cut.append((start, end))
            start, words = after, 0
    if words:
        first = cut.pop()[0] if cut else start
        cut.append((first, len(text)))
    return [_stripped(text, span) for span in cut]


def write_pairs(
    pairs: Numbered, out: Path, about: Mapping[str, Any], notes: Notes, overwrite: bool = False
) -> dict[str, Any]:
    """Write ``train.parquet`` (``source_row``, ``query``, ``positive``) and a report; return it.

    Making pairs costs little more than reading, so a killed run leaves nothing and starts again.
    Raises UserError if ``out`` is taken or there are no pairs.
    """
    count = 0
    examples: list[dict[str, Any]] = []
    words: Counter[str] = Counter()
    with atomic_folder(out, overwrite) as folder:
        with pq.ParquetWriter(folder / "train.parquet", _SCHEMA) as writer:
            for block in blocks(pairs):
                rows = [
                    {"source_row": row, "query": pair.query, "positive": pair.positive}
                    for row, pair in block
                ]
                writer.write_table(pa.Table.from_pylist(rows, schema=_SCHEMA))
                count += len(rows)
                examples += rows[: EXAMPLES - len(examples)]
                for _, pair in block:
                    words["query"] += len(words_of(pair.query))
                    words["positive"] += len(words_of(pair.positive))
        if not count:
            why = "; ".join(notes.lines()) or "there are no rows"
            raise UserError(f"no pairs were found: {why}")
        report = {
            **about,
            "pairs": count,
            "words_per_query": round(words["query"] / count, 1),
            "words_per_positive": round(words["positive"] / count, 1),
            "input_notes": notes.as_json(),
            "examples": examples,
        }
        write_json(folder / "report.json", report)
        (folder / "report.md").write_text(_as_markdown(report), encoding="utf-8")
    return report


def _as_markdown(report: Mapping[str, Any]) -> str:
    notes = [f"- {what}: {note['count']:,}" for what, note in report["input_notes"].items()]
    shown = [
        f"> {' '.join(one['query'].split())[:200]}\n>\n> {' '.join(one['positive'].split())[:200]}"
        for one in report["examples"]
    ]
    facts = [
        f"- {report['pairs']:,} pairs ({report['pairs_from']})",
        f"- words per query {report['words_per_query']}, positive {report['words_per_positive']}",
    ]
    return "\n\n".join(["# Text pairs", "\n".join(facts + notes), "## Examples", *shown]) + "\n"


def _two_columns(rows: Stream, first: str, second: str, notes: Notes) -> Numbered:
    for row, (table, at, query, positive) in enumerate(_cells(rows, first, second)):
        query, positive = _text(table, at, first, query), _text(table, at, second, positive)
        if not query or not positive:
            notes.add(f"rows without a {first} or {second}, left out", table.at(at))
        elif query == positive:
            notes.add(f"rows whose {second} is the {first}, left out", table.at(at))
        else:
            yield row, Pair(query, positive)


def _cells(rows: Stream, first: str, second: str) -> Iterator[tuple[Table, int, Any, Any]]:
    for table in rows.tables(first, second):
        columns = zip(table.columns[first], table.columns[second], strict=True)
        for at, (a, b) in enumerate(columns):
            yield table, at, a, b


def _text(table: Table, row: int, name: str, value: object) -> str:
    """A text without white space around it; empty for null. Raises UserError for another type."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise wrong(table.at(row), repr(name), value, "a string")
    return value.strip()


def _stripped(text: str, span: Span) -> Span:
    start, end = span
    part = text[start:end]
    return end - len(part.lstrip()), start + len(part.rstrip())
