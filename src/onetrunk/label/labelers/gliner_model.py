"""Entities of a GLiNER model for given types.

GLiNER scores spans against the names of any types (Zaratiana et al. 2024, "GLiNER: Generalist Model
for Named Entity Recognition using Bidirectional Transformer").
"""

from __future__ import annotations

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
from onetrunk.label.labelers.pieces import label_in_pieces, pieces

BATCH = 16


class GlinerLabeler:
    """``name`` is a folder or a model of the Hugging Face hub; ``types`` are asked for as they are.

    ``threshold`` is the least probability of an entity. Texts longer than the model reads are read
    in pieces. Raises UserError if gliner is not installed or the model cannot be loaded.
    """

    def __init__(self, name: str, types: Sequence[str], threshold: float = 0.5) -> None:
        self._types = list(types)
        self._threshold = threshold
        self._model = _load(name)
        self._words = int(self._model.config.max_len)
        weights = folder_hash(name) if Path(name).is_dir() else ""
        asked = ", ".join(self._types)
        self.fingerprint = f"gliner:{name} {weights} {_version()} [{asked}] at {threshold:g}"

    def label(self, texts: Iterable[str]) -> Generator[Answer, None, None]:
        """See :class:`~onetrunk.label.base.Labeler`."""
        yield from label_in_pieces(texts, self._cut, self._entities)

    def _cut(self, text: str) -> list[Span]:
        return pieces(text, self._words, self._split)

    def _split(self, text: str) -> Sequence[Span]:
        """Words as the model counts them."""
        return [(start, end) for _, start, end in self._model.data_processor.words_splitter(text)]

    def _entities(self, texts: Iterator[str]) -> Iterator[list[Entity]]:
        while batch := list(islice(texts, BATCH)):
            with warnings.catch_warnings():
                # Cutting into pieces makes it impossible; should it happen, it is not for silence.
                warnings.filterwarnings("error", message="Sentence of length .* truncated")
                found = self._model.inference(
                    batch, self._types, threshold=self._threshold, batch_size=BATCH
                )
            for entities in found:
                spans = [(one["start"], one["end"], one["label"]) for one in entities]
                yield [Entity(*span) for span in longest_first(spans)]


def _load(name: str) -> Any:
    try:
        from gliner import GLiNER  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        raise UserError(
            "labels from GLiNER need the package gliner: pip install 'onetrunk[gliner]'"
        ) from None
    try:
        return GLiNER.from_pretrained(name)
    except Exception as error:  # whatever the hub, a folder or its files may raise
        why = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"GLiNER model {name!r} cannot be loaded: {why}") from None


def _version() -> str:
    try:
        return version("gliner")
    except PackageNotFoundError:  # not installed as a package
        return ""
