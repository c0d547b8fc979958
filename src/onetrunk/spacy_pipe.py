"""Apps as a component of a spaCy pipeline: ``nlp.add_pipe("onetrunk", config={"model": "phone"})``.

The entry point ``spacy_factories`` makes spaCy find it. Where answers go:

doc._.onetrunk   the answer of each app, as :meth:`onetrunk.interface.Model.predict` gives it
doc.spans[APP]   the entities of an app, which may overlap; their scores are ``attrs["scores"]``
doc.ents         the entities of all apps together, without overlaps
doc.cats         probabilities by label; by ``APP/LABEL`` if several apps give labels
"""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spacy.language import Language
from spacy.tokens import Doc, Span
from spacy.util import ensure_path, filter_spans, minibatch, raise_error

from onetrunk.bundle.layout import MANIFEST
from onetrunk.errors import UserError
from onetrunk.opening import load
from onetrunk.storage import ANYTHING, atomic_folder

if TYPE_CHECKING:
    from onetrunk.interface import Model

ANSWERS = "onetrunk"
BUNDLE = "bundle"
"""Where a saved pipeline keeps the bundle, in the component's folder."""


@Language.factory(
    "onetrunk",
    assigns=["doc.ents", "doc.spans", "doc.cats", f"doc._.{ANSWERS}"],
    default_config={"model": None, "apps": None, "backbone": None},
)
class OnetrunkPipe:
    """Runs the apps of a bundle, or app folders, over documents in one pass.

    ``model``: a bundle folder, or one or more app folders. ``apps``: only these apps. ``backbone``:
    of app folders, instead of the one that they name. The folder is opened at the first document.
    ``nlp.pipe(n_process=…)`` needs processes that are spawned, or no document before it.
    """

    def __init__(
        self,
        nlp: Language,
        name: str,
        model: str | Sequence[str] | None = None,
        apps: Sequence[str] | None = None,
        backbone: str | None = None,
    ) -> None:
        self.name = name
        self.folders = [model] if isinstance(model, str | os.PathLike) else list(model or [])
        self.apps, self.backbone = apps, backbone
        self._on_error: Callable[..., Any] = raise_error
        self._opened: tuple[int, Model] | None = None  # the process that opened it, and what
        if not Doc.has_extension(ANSWERS):
            Doc.set_extension(ANSWERS, default=None)

    def __repr__(self) -> str:
        apps = "" if self.apps is None else f", apps={self.apps}"
        model = ", ".join(map(str, self.folders)) or "no model"
        return f"OnetrunkPipe({self.name!r}: {model}{apps})"

    @property
    def runtime(self) -> Model:
        """The runtime of a bundle, or the engine of app folders.

        It is not called ``model``: spaCy looks at that of every component as it is added, which
        would open the folder. Raises :class:`UserError` if there is none, and in a fork of a
        process that ran it.
        """
        if self._opened is not None and self._opened[0] != os.getpid():
            # onnxruntime would wait for ever, for threads that the fork does not have.
            raise UserError(
                f"component {self.name!r} ran before this process was forked, and cannot run in "
                'the fork: call multiprocessing.set_start_method("spawn") at the start of the '
                "program, or leave n_process out (the model uses all cores in one process)"
            )
        if self._opened is None:
            if not self.folders:
                raise UserError(
                    f"component {self.name!r} has no model: name a bundle or app folders, such as "
                    'nlp.add_pipe("onetrunk", config={"model": "phone"})'
                )
            self._opened = os.getpid(), load(self.folders, backbone=self.backbone)
        return self._opened[1]

    def __call__(self, doc: Doc) -> Doc:
        """Write the apps' answers into one document."""
        return next(self.pipe([doc]))

    def pipe(self, stream: Iterable[Doc], *, batch_size: int = 128) -> Iterator[Doc]:
        """Write the apps' answers into documents, ``batch_size`` in one pass."""
        for docs in minibatch(stream, batch_size):
            yield from self._answered(docs)

    def set_error_handler(self, error_handler: Callable[..., Any]) -> None:
        """What is called, as spaCy calls it, for a document that cannot be answered. Such a
        document is left out."""
        self._on_error = error_handler

    def _answered(self, docs: list[Doc]) -> Iterator[Doc]:
        results = self.runtime.stream([doc.text for doc in docs], self.apps)
        for doc, result in zip(docs, results, strict=True):
            if "error" in result:
                self._on_error(self.name, self, [doc], UserError(result["error"]))
                continue
            write(doc, result["apps"])
            yield doc

    def to_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> None:
        """Copy the bundle beside the pipeline, which is then complete.

        Raises :class:`UserError` for app folders: export them as a bundle first.
        """
        folder = self._bundle()
        with atomic_folder(ensure_path(path), True, ANYTHING) as component:
            shutil.copytree(folder, component / BUNDLE)

    def from_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> OnetrunkPipe:
        """Open the bundle that :meth:`to_disk` copied."""
        self.folders, self.backbone, self._opened = [ensure_path(path) / BUNDLE], None, None
        return self

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_opened": None}

    def _bundle(self) -> Path:
        folders = [Path(folder) for folder in self.folders]
        if len(folders) != 1 or not (folders[0] / MANIFEST).exists():
            listed = ", ".join(map(str, folders)) or "nothing"
            raise UserError(
                f"a pipeline is saved with a bundle, and component {self.name!r} runs {listed}: "
                "`onetrunk export` makes a bundle of apps"
            )
        return folders[0]


def write(doc: Doc, answers: dict[str, dict[str, Any]]) -> None:
    """Write the answers of apps into a document.

    An entity that begins or ends inside a token takes the whole token in ``doc.spans`` and
    ``doc.ents``, and a warning counts it; ``doc._.onetrunk`` has its exact characters. Where
    entities overlap in ``doc.ents``, the longest stays; earlier components' entities give way.
    """
    doc._.set(ANSWERS, {**(doc._.get(ANSWERS) or {}), **answers})
    spans: list[Span] = []
    for app, answer in answers.items():
        if "entities" in answer:
            of_app = [_span(doc, entity) for entity in answer["entities"]]
            doc.spans[app] = of_app
            doc.spans[app].attrs["scores"] = [entity["score"] for entity in answer["entities"]]
            spans += of_app
    if spans:
        _warn_of_inner(doc, spans, answers)
        new = filter_spans(spans)
        tokens = {token.i for span in new for token in span}
        doc.ents = [*new, *(old for old in doc.ents if tokens.isdisjoint(t.i for t in old))]
    labelled = {app: answer for app, answer in answers.items() if "probabilities" in answer}
    for app, answer in labelled.items():
        prefix = f"{app}/" if len(labelled) > 1 else ""
        doc.cats |= {f"{prefix}{label}": p for label, p in answer["probabilities"].items()}


def _span(doc: Doc, entity: dict[str, Any]) -> Span:
    return doc.char_span(
        entity["start"], entity["end"], label=entity["type"], alignment_mode="expand"
    )


def _warn_of_inner(doc: Doc, spans: list[Span], answers: dict[str, dict[str, Any]]) -> None:
    entities = [e for answer in answers.values() for e in answer.get("entities", ())]
    inner = [
        entity
        for entity, span in zip(entities, spans, strict=True)
        if (span.start_char, span.end_char) != (entity["start"], entity["end"])
    ]
    if inner:
        warnings.warn(
            f"{len(inner)} of {len(spans)} entities begin or end inside a token of spaCy (the "
            f"first is {inner[0]['text']!r}): doc.spans and doc.ents have the whole token, "
            f"doc._.{ANSWERS} the exact characters",
            stacklevel=4,
        )
