"""Which column of a table is the text and which the label, where they have other names.

A user may say it. If nobody does and the usual name is missing, a column with a likely name is
taken, and a note says so.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from onetrunk.data.formats.table import Stream, Table, no_column
from onetrunk.data.notes import Notes
from onetrunk.errors import UserError

LIKELY: Mapping[str, tuple[str, ...]] = {
    "text": (
        "message", "messages", "sentence", "sentences", "utterance", "content", "body", "review",
        "comment", "query", "question", "description", "tweet",
    ),
    "label": (
        "intent", "category", "class", "topic", "sentiment", "tag", "target", "rating", "score",
        "stars", "emotion",
    ),
}  # fmt: skip
"""Names, in small letters, that columns often have in place of ``text`` and ``label``."""
_LABELS = frozenset(
    ("label", "labels", "choices", "cats", "accept", "spans", "entities", "ner_tags", "annotations")
)


def with_usual_names(
    stream: Stream, columns: Mapping[str, str], guessed: Sequence[str], notes: Notes
) -> Stream:
    """Return a stream whose columns ``columns`` have their usual names: ``usual -> in the file``.

    A name of ``guessed`` that is not there and not in ``columns`` is looked for in :data:`LIKELY`.

    Raises UserError for a column that does not exist, and if several have likely names.
    """
    for name in columns.values():
        if name not in stream.names:
            raise no_column(f"{stream.source} has", name, stream.names)
    names = dict(columns)
    for usual in guessed:
        known = {usual} if usual == "text" else _LABELS
        if usual in names or known & set(stream.names):
            continue
        likely = [name for name in stream.names if name.strip().lower() in LIKELY[usual]]
        if len(likely) > 1:
            raise UserError(
                f"{stream.source} has no column {usual!r} but {' and '.join(map(repr, likely))}; "
                f"say which one it is: {usual}_column"
            )
        if likely:
            names[usual] = likely[0]
            notes.add(f"columns read as {usual!r}", f"{stream.source}: {likely[0]!r}")
    return _renamed(stream, names) if names else stream


def _renamed(stream: Stream, columns: Mapping[str, str]) -> Stream:
    usual = {name: standard for standard, name in columns.items()}
    hidden = {standard for standard, name in columns.items() if name != standard}

    def read(names: Sequence[str], optional: Sequence[str]) -> Iterator[Table]:
        original = [[columns.get(name, name) for name in part] for part in (names, optional)]
        for table in stream.read(*original):
            yield replace(
                table,
                columns={usual.get(name, name): cells for name, cells in table.columns.items()},
            )

    # A column that has the usual name and is not the one asked for is not read.
    names = [usual.get(name, name) for name in stream.names if name not in hidden]
    return replace(stream, names=names, read=read)
