"""Entities of a GLiNER model for types that the user names.

GLiNER scores spans against the names of any types (Zaratiana et al. 2024, "GLiNER: Generalist Model
for Named Entity Recognition using Bidirectional Transformer").
"""

import warnings
from collections.abc import Generator, Iterable, Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from itertools import islice
from pathlib import Path
from typing import Any

from onetrunk.data.rows import Span
from onetrunk.errors import UserError
from onetrunk.label.base import Answer, Entity
from onetrunk.label.files import folder_hash
from onetrunk.label.labelers.matching import longest_first
from onetrunk.label.labelers.pieces import label_in_pieces

BATCH = 16


class GlinerLabeler:
    """``name`` is a folder or a model of the Hugging Face hub; ``types`` are names of types.

    ``threshold`` is the least probability of an entity. Texts longer than the model's limit are
    read in pieces. Raises UserError if gliner is not installed or the model cannot be loaded.
    """

    def __init__(self, name: str, types: Sequence[str], threshold: float = 0.5) -> None:
        self._types = list(types)
        self._threshold = threshold
        self._model = _load(name)
        weights = folder_hash(name) if Path(name).is_dir() else ""
        listed = ", ".join(self._types)
        self.fingerprint = f"gliner:{name} {weights} {_version()} [{listed}] at {threshold:g}"

    def label(self, texts: Iterable[str]) -> Generator[Answer, None, None]:
        """See :class:`~onetrunk.label.base.Labeler`."""
        limit = int(self._model.config.max_len)
        yield from label_in_pieces(texts, limit, self._answers, self._words)

    def _words(self, text: str) -> list[Span]:
        """Split a text into words as the model does."""
        return [(start, end) for _, start, end in self._model.data_processor.words_splitter(text)]

    def _answers(self, texts: Iterator[str]) -> Generator[Answer, None, None]:
        while batch := list(islice(texts, BATCH)):
            with warnings.catch_warnings():
                # No piece is too long; if the model cuts one all the same, nobody may miss it.
                warnings.filterwarnings("error", message="Sentence of length .* truncated")
                predictions = self._model.inference(
                    batch, self._types, threshold=self._threshold, batch_size=BATCH
                )
            for spans in predictions:
                entities = [Entity(span["start"], span["end"], span["label"]) for span in spans]
                yield Answer(tuple(longest_first(entities)))


def _load(name: str) -> Any:
    try:
        from gliner import GLiNER  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        raise UserError(
            "labels from GLiNER need the package gliner: pip install 'onetrunk[gliner]'"
        ) from None
    try:
        return GLiNER.from_pretrained(name)
    except Exception as error:  # the hub, a folder and its files raise many kinds
        why = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"GLiNER model {name!r} cannot be loaded: {why}") from None


def _version() -> str:
    try:
        return version("gliner")
    except PackageNotFoundError:  # imported from a folder that was not installed
        return ""
