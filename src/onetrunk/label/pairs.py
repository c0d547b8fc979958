"""Text pairs from raw documents: weak supervision for text classification.

Two texts belong together because of how documents are written (Wang et al. 2022, "Text Embeddings
by Weakly-Supervised Contrastive Pre-training"): a title and its body, a question and its answer,
neighbouring passages, and a text and the name of its label.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import regex

from onetrunk import kinds
from onetrunk.data.formats.table import Stream, blocks, show
from onetrunk.data.notes import Notes
from onetrunk.data.rows import Pair
from onetrunk.data.words import runs_of
from onetrunk.errors import UserError, nearest
from onetrunk.label.files import read_columns, text_rows
from onetrunk.storage import atomic_folder, write_json

KINDS = ("title-body", "question-answer", "adjacent", "label-synonyms")
PASSAGE_WORDS = 100
EXAMPLES = 5

NumberedPairs = Iterator[tuple[int, Pair]]
"""Pairs with the number of the source row, which counts from 0."""

_SENTENCE_BREAK = regex.compile(r"(?<=[.!?…][\"'”’)\]]?)\s+|(?<=[。！？])|\n\s*\n")
_SCHEMA = pa.schema({"source_row": pa.int64(), "query": pa.string(), "positive": pa.string()})


def title_body(rows: Stream, notes: Notes) -> NumberedPairs:
    """Pair the column ``title`` with ``body`` or, where there is none, ``text``."""
    body = "body" if "body" in rows.names or "text" not in rows.names else "text"
    return _two_columns(rows, "title", body, notes)


def question_answer(rows: Stream, notes: Notes) -> NumberedPairs:
    """Pair the column ``question`` with ``answer``."""
    return _two_columns(rows, "question", "answer", notes)


def adjacent(texts: Iterable[str], notes: Notes) -> NumberedPairs:
    """Pair neighbouring passages of each text: the first two, the third and fourth, and so on.

    No passage is in two pairs, because in one batch it would be its own false negative. A passage
    without a partner at the end, and texts of one passage, are counted.
    """
    for row, text in enumerate(texts):
        parts = passages(text)
        for query, positive in zip(parts[::2], parts[1::2], strict=False):
            yield row, Pair(query, positive)
        if len(parts) < 2:
            notes.add("texts shorter than two passages", f"text {row + 1}")
        elif len(parts) % 2:
            notes.add("last passages without a neighbour", f"text {row + 1}")


def label_synonyms(rows: Stream, names: Mapping[str, Sequence[str]], notes: Notes) -> NumberedPairs:
    """Pair the column ``text`` with a name of its ``label``; the names of a label take turns.

    Raises UserError for a label that ``names`` does not hold.
    """
    uses: Counter[str] = Counter()
    cells = text_rows(rows, "text", "label", integers=["label"])
    for row, (text, label, place) in enumerate(cells):
        if not text.strip() or not label.strip():
            notes.add("rows without a text or a label", place)
            continue
        if label not in names:
            raise UserError(f"{place}: label {show(label)} has no name; {nearest(label, names)}")
        yield row, Pair(text, names[label][uses[label] % len(names[label])])
        uses[label] += 1
    for label in names.keys() - uses.keys():
        notes.add("labels with names but no text", label)


def read_names(path: str | Path) -> dict[str, list[str]]:
    """Read names of labels: a table with the columns ``label`` and ``name``, a row per name."""
    names: dict[str, list[str]] = {}
    for label, name, _ in read_columns(path, "label", "name"):
        names.setdefault(label, [])
        if name not in names[label]:
            names[label].append(name)
    return names


def passages(text: str) -> list[str]:
    """Cut a text between sentences into passages of about ``PASSAGE_WORDS`` words.

    A passage ends at the first sentence end after that many words, or after half as many at the end
    of a paragraph. A rest of fewer than half as many words joins the last passage.
    """
    spans: list[tuple[int, int]] = []
    start = words = at = 0
    breaks = [match.span() for match in _SENTENCE_BREAK.finditer(text)]
    for end, after in [*breaks, (len(text), len(text))]:
        words += len(runs_of(text[at:end]))
        at = after
        paragraph_ends = text.count("\n", end, after) > 1 or after == len(text)
        if words >= PASSAGE_WORDS or (paragraph_ends and words >= PASSAGE_WORDS // 2):
            spans.append((start, end))
            start, words = after, 0
    if words:
        first = spans.pop()[0] if spans else start
        spans.append((first, len(text)))
    return [text[start:end].strip() for start, end in spans]


def write_pairs(
    pairs: NumberedPairs,
    out: Path,
    about: Mapping[str, Any],
    notes: Notes,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Write ``train.parquet`` (``source_row``, ``query``, ``positive``) and a report; return it.

    To make pairs costs little more than to read the texts, so a killed run leaves nothing and
    starts again. Raises UserError if ``out`` is taken or there are no pairs.
    """
    words: Counter[str] = Counter()
    examples: list[dict[str, Any]] = []
    count = 0
    with atomic_folder(out, overwrite, kinds.PAIRS) as folder:
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
                    words["query"] += len(runs_of(pair.query))
                    words["positive"] += len(runs_of(pair.positive))
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
    notes.log()
    return report


def _as_markdown(report: Mapping[str, Any]) -> str:
    facts = [
        f"- {report['pairs']:,} pairs ({report['pairs_from']})",
        f"- words per query {report['words_per_query']}, positive {report['words_per_positive']}",
        *(f"- {what}: {note['count']:,}" for what, note in report["input_notes"].items()),
    ]
    examples = [
        "\n>\n> ".join(" ".join(row[side].split())[:200] for side in ("query", "positive"))
        for row in report["examples"]
    ]
    quoted = [f"> {example}" for example in examples]
    return "\n\n".join(["# Text pairs", "\n".join(facts), "## Examples", *quoted]) + "\n"


def _two_columns(rows: Stream, first: str, second: str, notes: Notes) -> NumberedPairs:
    for row, (query, positive, place) in enumerate(text_rows(rows, first, second)):
        query, positive = query.strip(), positive.strip()
        if not query or not positive:
            notes.add(f"rows without a {first} or {second}, left out", place)
        elif query == positive:
            notes.add(f"rows whose {second} is the {first}, left out", place)
        else:
            yield row, Pair(query, positive)
