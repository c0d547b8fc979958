"""Rows in memory instead of a file: tables of pandas, pyarrow and datasets, and lists.

They become the same streams that files become. So the same checks apply, and messages name
``row N``, counted from one. The caller's objects are never changed. A library is recognised by the
class of what it made, so none of them is imported here.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from os.path import isfile
from typing import Any

from onetrunk.data.formats.columnar import arrow_table
from onetrunk.data.formats.hub import dataset
from onetrunk.data.formats.table import Stream, Table, record_stream, show, wrong
from onetrunk.data.rows import AnnotatedText, LabelledText, Pair
from onetrunk.errors import UserError


@dataclass(frozen=True, eq=False)
class InMemory:
    """Rows that a caller passes instead of a path.

    ``rows`` is a pandas DataFrame, a pyarrow Table or RecordBatch (or any other object with
    ``__arrow_c_stream__``), a ``datasets.Dataset`` or ``IterableDataset``, or a list. An item of a
    list is a mapping from column names to values, a tuple of values, a text, or a
    :mod:`row of onetrunk <onetrunk.data.rows>`.
    """

    rows: Any

    def __str__(self) -> str:
        return "the list given" if isinstance(self.rows, list | tuple) else "the table given"

    def stream(self, names: Sequence[str] = ()) -> Stream:
        """Return the columns; ``names`` are those of tuples in a list.

        Raises UserError for rows of an unknown class, an empty list, a list of paths
        and a wrong item of a list.
        """
        rows, source = self.rows, str(self)
        classes = {f"{c.__module__.split('.')[0]}.{c.__name__}" for c in type(rows).__mro__}

        def records() -> Iterator[tuple[int, dict[str, Any]]]:
            for number, row in enumerate(rows, 1):
                yield number, _record(row, names, f"{source}, row {number}")

        if isinstance(rows, list | tuple):
            if rows and all(isinstance(row, str | PathLike) and isfile(row) for row in rows):
                raise UserError(
                    f"{source} holds names of files ({show(str(rows[0]))}, …), not rows; pass one "
                    "path, or the folder that these files are in"
                )
            return record_stream(source, records)
        if "pandas.DataFrame" in classes:
            return _frame_stream(source, rows)
        if classes & {"datasets.Dataset", "datasets.IterableDataset"}:
            return dataset(source, rows.with_format(None))
        if hasattr(rows, "__arrow_c_stream__") and "pandas.Series" not in classes:
            return arrow_table(source, rows)
        raise UserError(
            f"{show(rows)} ({type(rows).__name__}) is not a source; pass a path, hub:NAME, a list "
            "of rows, or a table: a pandas DataFrame, a pyarrow Table or a datasets.Dataset"
        )

    def sha256(self) -> str:
        """Return a hex SHA-256 of all rows and columns.

        It is the same for equal rows in tables of different libraries and in a list of mappings.
        """
        digest = hashlib.sha256()
        for row in self._values():
            digest.update(json.dumps(row, sort_keys=True, default=repr).encode() + b"\n")
        return digest.hexdigest()

    def _values(self) -> Iterator[Any]:
        if isinstance(self.rows, list | tuple):
            yield from map(_plain, self.rows)
            return
        stream = self.stream()
        names = list(dict.fromkeys(stream.names))
        for table in stream.read(names, ()):
            for values in zip(*(table.columns[name] for name in names), strict=True):
                yield _plain(dict(zip(names, values, strict=True)))


def _frame_stream(source: str, frame: Any) -> Stream:
    columns = [str(name) for name in frame.columns]

    def cells(name: str) -> list[Any]:
        column = frame.iloc[:, columns.index(name)]
        values = [_plain(value) for value in column.tolist()]
        if column.dtype.kind != "f" or None not in values:
            return values
        # A missing value makes pandas turn a column of integers into floats.
        return [v if v is None or not v.is_integer() else int(v) for v in values]

    def read(names: Sequence[str], optional: Sequence[str]) -> Iterator[Table]:
        present = [name for name in (*names, *optional) if name in columns]
        yield Table(source, {name: cells(name) for name in present}, range(1, len(frame) + 1))

    return Stream(source, columns, read)


def _record(row: Any, names: Sequence[str], where: str) -> dict[str, Any]:
    """Return an item of a list as a record with column names."""
    match row:
        case str():
            return {"text": row}
        case AnnotatedText():
            return {"text": row.text, "spans": [list(entity) for entity in row.entities]}
        case LabelledText():
            return {"text": row.text, "labels": list(row.labels)}
        case Pair(query, positive, negatives):
            return {"query": query, "positive": positive, "negatives": list(negatives)}
        case Mapping():
            return {str(name): _plain(value) for name, value in row.items()}
        case [str() as text, dict() as annotations]:  # spaCy's simple training data
            return {"text": text, **_plain(annotations)}
        case tuple() if row:
            values = _plain(row)
            if isinstance(values[0], list):
                names = ("tokens", "ner_tags")
            if len(values) == len(names):
                return dict(zip(names, values, strict=True))
    raise wrong(
        where, "the row", row, f"a string, a mapping of columns or a tuple ({', '.join(names)})"
    )


def _plain(value: Any) -> Any:
    """Return a value without types of NumPy and pandas; what pandas calls missing becomes None."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    match value:
        case str():
            return str.__str__(value)
        case float() if value != value:
            return None
        case list() | tuple():
            return [_plain(item) for item in value]
        case set() | frozenset():  # of labels, which have no order
            return sorted(map(_plain, value), key=repr)
        case Mapping():
            return {str(key): _plain(item) for key, item in value.items()}
    return None if type(value).__name__ in ("NAType", "NaTType") else value
