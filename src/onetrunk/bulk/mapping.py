"""A bundle's answers as columns of a ``datasets`` data set: the function that ``map`` calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onetrunk.bulk.columns import (
    ERROR,
    TEXT,
    answer_cells,
    answer_names,
    answer_types,
    check_free,
    decoders_of,
)
from onetrunk.bundle.layout import MANIFEST
from onetrunk.bundle.runtime import Runtime
from onetrunk.errors import UserError, nearest
from onetrunk.hub import fetched
from onetrunk.storage import sha256_of_files

if TYPE_CHECKING:
    from datasets import Dataset, Features


class Answers:
    """Answers of a bundle's apps, for ``dataset.map(answers, batched=True)``.

    The columns are those of :mod:`onetrunk.bulk.columns`, as ``onetrunk predict`` writes them to
    Parquet. It can be pickled: each process of ``num_proc`` opens the bundle for itself, on
    ``threads`` threads (0: all cores). ``datasets`` keeps what it computed in its cache, and
    computes anew when the bundle's content changes.

    ``bundle`` is a folder or a name at the hub; ``apps`` are those that answer (default: all).
    Raises :class:`UserError` as :class:`~onetrunk.bundle.runtime.Runtime` does.

    ```python
    import datasets

    from onetrunk import Answers

    rows = datasets.Dataset.from_dict({"text": ["book a table in Oslo"]})
    answers = Answers("phone", threads=1)
    rows = rows.map(answers, batched=True, features=answers.features(rows))
    print(rows["intents"])
    ```
    """

    def __init__(
        self,
        bundle: str | Path,
        apps: Sequence[str] | None = None,
        *,
        text_column: str = TEXT,
        threads: int = 0,
    ) -> None:
        self._folder, self._apps, self._threads = fetched(bundle), apps, threads
        self._text_column = text_column
        self._runtime: Runtime | None = Runtime(self._folder, apps, threads)
        self._decoders = decoders_of(self._runtime)
        self._content = sha256_of_files(self._folder / MANIFEST)

    def __repr__(self) -> str:
        return f"Answers({self._folder}: {', '.join(self._decoders) or 'no apps'})"

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_runtime": None}

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, list[Any]]:
        """The columns of answers for a batch of rows, a list by column.

        Raises :class:`UserError` if there is no column of texts, if a column has the name of an
        answer's, and if the bundle has changed since. What cannot be answered is said in the column
        ``error``.
        """
        if self._text_column not in batch:
            hint = nearest(self._text_column, batch)
            raise UserError(f"the data set has no column {self._text_column!r}; {hint}")
        check_free(batch, answer_names(self._decoders), "the data set", self._decoders)
        texts = batch[self._text_column]
        if isinstance(texts, str):
            raise UserError("map gave one row: call dataset.map(…, batched=True)")
        results = list(self._model().stream(texts))
        columns: dict[str, list[Any]] = {name: [] for name in answer_names(self._decoders)}
        for result in results:
            cells = {**answer_cells(self._decoders, result), ERROR: result.get(ERROR)}
            for name, cell in cells.items():
                columns[name].append(cell)
        return columns

    def features(self, dataset: Dataset) -> Features:
        """The features of ``dataset`` with the answers beside them, for ``map(features=…)``.

        Without them ``map`` takes types from the first batch, which fails if no text of it has an
        entity.
        """
        import datasets
        import pyarrow as pa

        names = answer_names(self._decoders)
        check_free(dataset.features, names, "the data set", self._decoders)
        answers = pa.schema([*answer_types(self._decoders).items()])
        return datasets.Features(
            {**dataset.features, **datasets.Features.from_arrow_schema(answers)}
        )

    def _model(self) -> Runtime:
        if self._runtime is None:
            if sha256_of_files(self._folder / MANIFEST) != self._content:
                raise UserError(f"{self._folder} has changed since it was opened: open it again")
            self._runtime = Runtime(self._folder, self._apps, self._threads)
        return self._runtime
