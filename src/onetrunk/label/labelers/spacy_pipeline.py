"""Entities of a spaCy pipeline, with its own type names."""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterable, Iterator
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

from onetrunk.data.rows import Span
from onetrunk.errors import UserError
from onetrunk.label.base import Answer, Entity
from onetrunk.label.files import folder_hash
from onetrunk.label.labelers.pieces import label_in_pieces, pieces

DEFAULT = "en_core_web_sm"
PIECE_WORDS = 10_000
"""Longer texts are read in pieces: the memory that a pipeline takes grows with the text."""

_RULERS = ("entity_ruler", "span_ruler")
_ENTITIES = frozenset({"doc.ents", "token.ent_iob", "token.ent_type"})


class SpacyLabeler:
    """``name`` is a pipeline package or a folder. Raises UserError if it cannot be loaded."""

    def __init__(self, name: str = DEFAULT) -> None:
        self._nlp = _load(name)
        self._unused = _unused(self._nlp)
        if len(self._unused) == len(self._nlp.pipe_names):
            names = ", ".join(self._nlp.pipe_names) or "no components"
            raise UserError(f"spaCy pipeline {name!r} finds no entities (it has {names})")
        # The limit in characters guards memory, which grows with words: pieces bound those.
        self._nlp.max_length = sys.maxsize
        meta = self._nlp.meta
        self.fingerprint = f"spacy:{meta['lang']}_{meta['name']} {meta['version']}"
        if self._nlp.path.exists():
            self.fingerprint += f" {folder_hash(self._nlp.path)}"

    def label(self, texts: Iterable[str]) -> Generator[Answer, None, None]:
        """See :class:`~onetrunk.label.base.Labeler`."""
        with self._nlp.select_pipes(disable=self._unused):
            yield from label_in_pieces(texts, _cut, self._entities)

    def _entities(self, texts: Iterator[str]) -> Iterator[list[Entity]]:
        for doc in self._nlp.pipe(texts):
            yield [Entity(span.start_char, span.end_char, span.label_) for span in doc.ents]


def _cut(text: str) -> list[Span]:
    return pieces(text, PIECE_WORDS)


def _load(name: str) -> Any:
    try:
        import spacy
    except ImportError:
        raise UserError(
            "labels from spaCy need the package spacy: pip install 'onetrunk[spacy]'"
        ) from None
    try:
        return spacy.load(name)
    except OSError as error:
        why = str(error)
    except Exception as error:  # a damaged folder, a component of another package, another version
        raise UserError(
            f"spaCy pipeline {name!r} cannot be loaded: {' '.join(str(error).split())}"
        ) from None
    if Path(name).exists():
        raise UserError(f"{name} is not a spaCy pipeline: {' '.join(why.split())}")
    # A pipeline may be installed under a longer name; taking it unasked would be a guess.
    similar = sorted(module for module in packages_distributions() if module.startswith(name))
    hint = f"did you mean {similar[0]!r}?" if similar else f"python -m spacy download {name}"
    raise UserError(f"no spaCy pipeline {name!r}: no such package, no such folder; {hint}")


def _unused(nlp: Any) -> list[str]:
    """The components that no entity depends on.

    A rule may look at any annotation, so a pipeline with rules keeps all components. So does a
    component that does not declare what it assigns.
    """
    factories = {name: nlp.get_pipe_meta(name).factory for name in nlp.pipe_names}
    if any(factory in _RULERS for factory in factories.values()):
        return []
    needed = set()
    for name in nlp.pipe_names:
        assigns = set(nlp.get_pipe_meta(name).assigns)
        if assigns & _ENTITIES or not assigns:
            needed.add(name)
    for name, component in nlp.pipeline:  # shared layers listen to the component that runs them
        if needed & set(getattr(component, "listener_map", {})):
            needed.add(name)
    return [name for name in nlp.pipe_names if name not in needed]
