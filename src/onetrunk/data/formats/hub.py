"""Data sets of the library ``datasets``: opened by name, or objects in memory.

``datasets`` takes long to import. So this is done when a data set is opened.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from onetrunk.data.formats.classes import name_classes
from onetrunk.data.formats.table import BLOCK, Stream, Table, reason
from onetrunk.errors import UserError


def hub(name: str, config: str | None, split: str) -> Stream:
    """Return the columns of one split, streamed; class numbers become names.

    ``name`` is a data set of the Hugging Face hub or a folder. Raises UserError for whatever
    ``datasets`` refuses: an unknown name, configuration or split, or no connection.
    """
    source = hub_spec(name, config)
    with _datasets(source) as datasets:
        rows = datasets.load_dataset(name, config, split=split, streaming=True)
        return dataset(source, rows, f"{source} ({split})")


def dataset(source: str, rows: Any, place: str = "") -> Stream:
    """Return the columns of a ``datasets.Dataset`` or ``IterableDataset`` as in :func:`hub`.

    ``place`` names the source in messages about rows; by default it is ``source``.
    """
    with _datasets(source):
        if rows.features is None:  # not declared: the first row shows them
            columns, features = list(next(iter(rows), {})), {}
        else:
            columns, features = list(rows.features), rows.features.to_dict()

    def read(names: Sequence[str], optional: Sequence[str]) -> Iterator[Table]:
        present = [name for name in columns if name in names or name in optional]
        first = 1
        with _datasets(source):
            for batch in rows.select_columns(present).iter(batch_size=BLOCK):
                numbers = range(first, first + len(batch[present[0]]))
                yield name_classes(Table(place or source, dict(batch), numbers), features)
                first = numbers.stop

    return Stream(source, columns, read)


def hub_fingerprint(name: str, config: str | None, split: str) -> str:
    """Return a hex SHA-256 of how ``datasets`` identifies the content: revision, or file hashes.

    Raises UserError as :func:`hub` does.
    """
    with _datasets(hub_spec(name, config)) as datasets:
        builder = datasets.load_dataset_builder(name, config)
    known = [name, builder.config.name, str(builder.config.version), builder.hash, split]
    return hashlib.sha256(json.dumps(known).encode()).hexdigest()


def hub_spec(name: str, config: str | None) -> str:
    """Return what a user writes for a data set: ``hub:NAME`` or ``hub:NAME:CONFIG``."""
    return f"hub:{name}" if config is None else f"hub:{name}:{config}"


@contextmanager
def _datasets(source: str) -> Iterator[Any]:
    """Give the module ``datasets``; what it raises in the block becomes a UserError."""
    import datasets

    try:
        yield datasets
    except UserError:
        raise
    except Exception as error:  # it passes on what file systems, parsers or HTTP raise
        raise UserError(f"{source} cannot be opened: {reason(error)}") from error
