"""Data sets that ``datasets`` opens by name: of the Hugging Face hub, or a folder on disk."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from onetrunk.data.formats.classes import name_classes
from onetrunk.data.formats.table import BLOCK, Stream, Table
from onetrunk.errors import UserError


def hub(name: str, config: str | None, split: str) -> Stream:
    """The columns of one split, streamed; class numbers become names.

    Raises UserError for what ``datasets`` refuses: an unknown name, configuration or split, no
    connection.
    """
    source = hub_spec(name, config)
    with _datasets(source) as datasets:
        rows = datasets.load_dataset(name, config, split=split, streaming=True)
        if rows.features is None:  # not declared: the first row shows them
            names, features = list(next(iter(rows), {})), {}
        else:
            names, features = list(rows.features), rows.features.to_dict()

    def read(wanted: Sequence[str], optional: Sequence[str]) -> Iterator[Table]:
        there = [name for name in names if name in wanted or name in optional]
        first = 1
        with _datasets(source):
            for columns in rows.select_columns(there).iter(batch_size=BLOCK):
                numbers = range(first, first + len(columns[there[0]]))
                missing = {name: [None] * len(numbers) for name in set(optional) - set(there)}
                table = Table(f"{source} ({split})", {**columns, **missing}, numbers)
                yield name_classes(table, features)
                first = numbers.stop

    return Stream(source, names, read)


def hub_fingerprint(name: str, config: str | None, split: str) -> str:
    """Hex SHA-256 over what ``datasets`` knows the content by: the revision, or a hash of files.

    Raises UserError as :func:`hub` does.
    """
    with _datasets(hub_spec(name, config)) as datasets:
        builder = datasets.load_dataset_builder(name, config)
    known = [name, builder.config.name, str(builder.config.version), builder.hash, split]
    return hashlib.sha256(json.dumps(known).encode()).hexdigest()


def hub_spec(name: str, config: str | None) -> str:
    """How a user writes it: ``hub:NAME`` or ``hub:NAME:CONFIG``."""
    return f"hub:{name}" if config is None else f"hub:{name}:{config}"


@contextmanager
def _datasets(source: str) -> Iterator[Any]:
    """The module ``datasets``; what it raises in the block becomes a UserError."""
    import datasets  # takes a second

    try:
        yield datasets
    except UserError:
        raise
    except Exception as error:  # it passes on whatever a file system, a parser or HTTP raises
        why = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"{source} cannot be opened: {why}") from error
