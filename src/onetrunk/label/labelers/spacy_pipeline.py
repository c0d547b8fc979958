"""Entities of a spaCy pipeline, with its own type names."""

import sys
from collections.abc import Generator, Iterable, Iterator
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

from onetrunk.errors import UserError
from onetrunk.label.base import Answer, Entity
from onetrunk.label.files import folder_hash
from onetrunk.label.labelers.pieces import label_in_pieces

DEFAULT = "en_core_web_sm"
PIECE_WORDS = 10_000
"""Longer texts are read in pieces, because a pipeline's memory grows with the text."""

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
        # This limit, in characters, guards the memory; the pieces do that already.
        self._nlp.max_length = sys.maxsize
        meta = self._nlp.meta
        self.fingerprint = f"spacy:{meta['lang']}_{meta['name']} {meta['version']}"
        if self._nlp.path.exists():
            self.fingerprint += f" {folder_hash(self._nlp.path)}"

    def label(self, texts: Iterable[str]) -> Generator[Answer, None, None]:
        """See :class:`~onetrunk.label.base.Labeler`."""
        with self._nlp.select_pipes(disable=self._unused):
            yield from label_in_pieces(texts, PIECE_WORDS, self._answers)

    def _answers(self, texts: Iterator[str]) -> Generator[Answer, None, None]:
        for doc in self._nlp.pipe(texts):
            yield Answer(
                tuple(Entity(span.start_char, span.end_char, span.label_) for span in doc.ents)
            )


def _load(name: str) -> Any:
    try:
        import spacy
    except ImportError:
        raise UserError(
            "labels from spaCy need the package spacy: pip install 'onetrunk[spacy]'"
        ) from None
    if not spacy.util.is_package(name) and not Path(name).exists():
        # A pipeline may be installed under a longer name; to load that one would be a guess.
        longer = sorted(module for module in packages_distributions() if module.startswith(name))
        hint = f"did you mean {longer[0]!r}?" if longer else f"python -m spacy download {name}"
        raise UserError(f"no spaCy pipeline {name!r}: no such package, no such folder; {hint}")
    try:
        return spacy.load(name)
    except Exception as error:  # a damaged folder, a component of another package, another version
        why = " ".join(str(error).split())
        raise UserError(f"{name} is not a spaCy pipeline that can be loaded: {why}") from None


def _unused(nlp: Any) -> list[str]:
    """Return the components that no entity depends on.

    A rule may look at any annotation, so a pipeline with rules keeps all components. A component
    that does not declare what it assigns is kept, too.
    """
    components = {name: nlp.get_pipe_meta(name) for name in nlp.pipe_names}
    if any(component.factory in _RULERS for component in components.values()):
        return []
    needed = {
        name
        for name, component in components.items()
        if not component.assigns or _ENTITIES & set(component.assigns)
    }
    for name, component in nlp.pipeline:  # a shared layer has listeners in other components
        if needed & set(getattr(component, "listener_map", {})):
            needed.add(name)
    return [name for name in nlp.pipe_names if name not in needed]
