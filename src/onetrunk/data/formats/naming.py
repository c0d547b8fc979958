"""Which column of a table holds the text and which the label: as chosen, or as its name says.

What was found by a name or by values is said in a note. If several columns fit, none is taken.
"""

import re
from collections.abc import Callable, Collection, Sequence

from onetrunk.data.formats.table import Stream, no_column
from onetrunk.data.notes import Notes
from onetrunk.data.splits import split_of
from onetrunk.errors import UserError

TEXT = (
    "text", "message", "sentence", "utterance", "content", "body", "review", "query", "comment",
    "title", "description", "question", "tweet", "post", "document", "prompt",
)  # fmt: skip
LABEL = (
    "label", "intent", "category", "class", "topic", "sentiment", "tag", "rating", "score", "stars",
    "labels", "target", "type", "emotion",
)  # fmt: skip
_WORD = re.compile(r"[^\W\d]+(?:[_-][^\W\d]+)*")
_SPLIT = ("split", "set", "subset", "partition", "fold", "part", "dataset", "phase", "usage")
QUERY = (
    "query", "anchor", "question", "title", "sentence1", "text1", "title1", "duplicate1", "text",
)  # fmt: skip
POSITIVE = (
    "positive", "answer", "body", "sentence2", "text2", "title2", "duplicate2", "simplified",
    "summary",
)  # fmt: skip


def text_column(stream: Stream, notes: Notes) -> str | None:
    """Return the column of the text, or None if no name is likely.

    A table of one column has it if its name is one word, and so no text itself.
    """
    column = _chosen(stream, stream.chosen.text) or likely(stream, TEXT, notes)
    if column is None and len(stream.names) == 1 and _WORD.fullmatch(stream.names[0].strip()):
        column = stream.names[0]
        _note(stream, column, "text", notes)
    return column


def text_and_label(stream: Stream, notes: Notes) -> tuple[str, str]:
    """Return the columns of a text and its label; if one is not there, its standard name.

    Of two columns with other names, the values say which one is what.
    """
    if len(stream.chosen.labels) > 1:
        listed = ", ".join(map(repr, stream.chosen.labels))
        raise UserError(
            f"a text has one column of labels, not {listed}; choose one (of several with 0 and 1 "
            "in them, one for each label, the family is multi-label)"
        )
    text = text_column(stream, notes)
    label = _chosen(stream, next(iter(stream.chosen.labels), None))
    label = label or likely(stream, LABEL, notes, taken=[text] if text else [])
    if (text is None or label is None) and len(stream.names) == 2:
        text, label = _by_values(stream, text, label, notes)
    return text or "text", label or "label"


def split_columns(stream: Stream) -> list[str]:
    """Return the columns that say of which split each row is: those called ``split``, and those of
    like names (``set``, ``Data_Split``) that hold nothing but names of splits."""

    def holds_splits(name: str) -> bool:
        cells = stream.first(name).get(name, ())
        values = {str(cell) for cell in cells if cell not in (None, "")}
        return bool(values) and all(map(split_of, values))

    return [
        name
        for name in dict.fromkeys(stream.names)
        if name not in stream.chosen.names and plain_name(name).rpartition(" ")[2] in _SPLIT
        if plain_name(name) == "split" or holds_splits(name)
    ]


def plain_name(name: str) -> str:
    """Return a name without case, with single spaces for whatever stands between its words."""
    return re.sub(r"[_\-\s]+", " ", name).strip().casefold()


def likely(
    stream: Stream, names: Sequence[str], notes: Notes, taken: Collection[str] = (),
    exactly: bool = False,
) -> str | None:  # fmt: skip
    """Return the column with the first of these names, or else the one with a name like another.

    Case does not count. Unless ``exactly``, a name may have other words before (``review_text``).
    Raises UserError if there are several.
    """
    standard = names[0]
    if standard in stream.names and standard not in taken:
        return standard
    plain = {name: plain_name(name) for name in stream.names}
    rules: list[Callable[[str], bool]] = [
        lambda name: name == standard,
        lambda name: name in names,
        lambda name: name.rpartition(" ")[2] in names,
    ]
    for fits in rules[: 2 if exactly else 3]:
        columns = [name for name, words in plain.items() if name not in taken and fits(words)]
        if len(columns) > 1:
            listed = ", ".join(map(repr, columns))
            options = {TEXT: "with --text-column", LABEL: "with --label-column"}
            raise UserError(
                f"{stream.source} has several columns that may hold the {standard}: {listed}; "
                f"choose one {options.get(tuple(names), 'of them')}, or name it {standard!r}"
            )
        if columns:
            _note(stream, columns[0], standard, notes)
            return columns[0]
    return None


def _chosen(stream: Stream, name: str | None) -> str | None:
    if name is not None and name not in stream.names:
        raise no_column(f"{stream.source} has", name, stream.names)
    return name


def _by_values(
    stream: Stream, text: str | None, label: str | None, notes: Notes
) -> tuple[str | None, str | None]:
    """Of two columns take the one with long texts as text, the one with few values as label."""
    table = next(stream.read(stream.names, ()), None)
    columns = {} if table is None else table.columns  # which may be more than were asked for

    def is_header(name: str) -> bool:  # and not the first row of a file without one
        return len(name.split()) <= 3 and name not in columns[name]

    def is_text(name: str) -> bool:
        values = columns[name]
        strings = [value for value in values if isinstance(value, str)]
        long = sum(map(len, strings)) >= 15 * len(values)
        return len(strings) == len(values) <= 1.1 * len(set(strings)) and long

    def is_label(name: str) -> bool:
        values = columns[name]
        return len(values) >= 4 and 2 * len(set(map(str, values))) <= len(values)

    pairs = [
        (one, other)
        for one, other in (stream.names, stream.names[::-1])
        if text in (one, None) and label in (other, None)
        if columns and is_header(one) and is_header(other)
        if (text or is_text(one)) and (label or is_label(other))
    ]
    if len(pairs) == 1:
        for name, known, what in zip(pairs[0], (text, label), ("text", "label"), strict=True):
            if known is None:
                _note(stream, name, what, notes)
        return pairs[0]
    return text, label


def _note(stream: Stream, name: str, what: str, notes: Notes) -> None:
    notes.say(f"column {name!r} is read as {what}", stream.source)
