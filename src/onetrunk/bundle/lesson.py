"""Apps that a device makes itself, from labelled examples: a linear head on the bundle's states.

It is the problem that ``onetrunk.adapt(…, adapter="linear")`` solves, by the same functions: the
same units, windows and primary LoRA, the same choice of states and penalty. Only the states come
from the bundle's graphs. Nothing here imports PyTorch.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from onetrunk.adaptation.linear import LinearHead
from onetrunk.adaptation.linear_app import (
    MAX_LENGTH,
    SHORTEST_WINDOW,
    Units,
    check_entities,
    check_learnable,
    check_targets,
    choose_head,
    head_layer_choices,
    note_shorter,
    rows_of_units,
    targets_by_window,
)
from onetrunk.adaptation.penalty import solve_and_judge
from onetrunk.apps.windows import Examples
from onetrunk.bundle.app import BundledApp
from onetrunk.bundle.app_folder import decoder_of
from onetrunk.bundle.layout import FLOATS, NONE, check_name
from onetrunk.bundle.new_labels import check_beside_new, note_new_labels
from onetrunk.data.notes import Notes
from onetrunk.data.rows import AnnotatedText, LabelledText, numbered
from onetrunk.data.units import RULE
from onetrunk.decoding import DECODERS, Entities, Labelled, abstain, check_none_below
from onetrunk.errors import UserError
from onetrunk.families.base import Family
from onetrunk.interface import FEWEST_JUDGED, Score
from onetrunk.progress import Progress, silent

if TYPE_CHECKING:
    from onetrunk.bundle.runtime import Runtime


@dataclass(frozen=True)
class Lesson:
    """What an app is taught from."""

    family: Family[Any, Any]
    rows: Sequence[Any]
    labels: Sequence[str] = ()
    """Labels beside those of the rows."""
    max_length: int = MAX_LENGTH
    none_below: float | None = None
    start: BundledApp | None = None
    """The app to go on from."""
    rehearsed: Sequence[Any] = ()
    """Rows with the answers of that app, which are to stay. They are not judged."""
    known: Sequence[str] | None = None
    """The labels of the app that is corrected, if one is: others are noted."""

    def __post_init__(self) -> None:
        """Raise :class:`UserError` for numbers out of range."""
        check_none_below(self.none_below)
        if not isinstance(self.max_length, int) or self.max_length < SHORTEST_WINDOW:
            raise UserError(f"max_length {self.max_length!r}: must be at least {SHORTEST_WINDOW}")

    def all_labels(self) -> list[str]:
        """Those of the rows and the others, as the family orders them; of a rating the ends of the
        scale."""
        found = self.family.label_set(self.rows)
        if self.start is not None:
            return self._labels_from(self.start, found)
        check_learnable(self.family, found, self.rows)
        if self.family.classes(found) >= len(found):
            return sorted({*found, *self.labels})
        return self.family.label_set([*self.rows, *self._ends()])

    def _ends(self) -> list[LabelledText]:
        """The labels of a rating beside those of the rows, checked."""
        ends = [LabelledText("", (str(label),)) for label in self.labels]
        self.family.check_rows(ends, numbered("labels"))
        return ends

    def _labels_from(self, start: BundledApp, found: Sequence[str]) -> list[str]:
        """The labels of ``start`` and new ones. Raises :class:`UserError` for an app that a head
        cannot start from."""
        if start.family != self.family.name:
            raise UserError(f"app {start.name} is of family {start.family}, not {self.family.name}")
        if start.neighbours is not None:
            raise UserError(
                f"app {start.name} has labelled neighbours: a head cannot start from it"
            )
        if not self.rows:
            raise UserError("there are no training rows")
        if self.family.classes(start.labels) >= len(start.labels):
            return sorted({*start.labels, *found, *self.labels})
        low, high = map(float, start.labels)
        for label in [*found, *self.family.label_set(self._ends())]:
            if not low <= float(label) <= high:
                raise UserError(f"app {start.name} rates from {low:g} to {high:g}, not {label}")
        return start.labels


@dataclass(frozen=True)
class _Problem:
    """The units of a lesson, as the runtime reads them."""

    examples: Examples
    units: Units
    """Features of all states that any choice of a head reads."""
    primary: str
    slot: str
    """Of the LoRA under which the states were computed."""
    decoder: str
    max_length: int

    def predictions(
        self,
        logits: np.ndarray,
        labels: Sequence[str],
        rows: Sequence[int],
        none_below: float | None,
    ) -> list[Any]:
        """Answers to some rows. ``logits (U, C)`` are those of all units, row after row."""
        decode = DECODERS[self.decoder].decode
        # A row without a unit has an answer, too: nothing.
        begins = np.searchsorted(self.units.row_of, np.arange(len(self.examples.rows) + 1))
        answers = []
        for row in rows:
            spans = self.examples.units[row]
            answer = decode(logits[begins[row] : begins[row + 1]], spans, labels)
            text = self.examples.rows[row].text
            answers.append(abstain(self.decoder, text, answer, none_below))
        return answers


def taught(
    runtime: Runtime,
    name: str,
    lesson: Lesson,
    progress: Progress = silent,
    has_learnt: Callable[[str], bool] = lambda text: False,
) -> tuple[BundledApp, Score]:
    """Make an app from a lesson; returns it and its score. Its weights are rounded as in a file of
    the bundle, so it answers alike before and after it is saved.

    ``has_learnt`` says whether the app of this name has learnt a text: it is not scored beside the
    new one on rows that it knows. ``progress`` may raise to stop. Raises :class:`UserError` if
    there is nothing to learn, if rows of new labels would make the app to go on from forget its
    own, if a device cannot run the family, and for a name that cannot be a file's.
    """
    start = time.perf_counter()
    check_name(name, runtime.names)
    bundle, family, start_app = runtime.bundle, lesson.family, lesson.start
    decoder, labels = decoder_of(name, family), lesson.all_labels()
    choices = head_layer_choices(family, bundle.k_of_backbone)
    if start_app is not None:
        choices = [start_app.head_layers]
        check_beside_new(family, start_app, lesson.rows, lesson.rehearsed)
    if lesson.known is not None:
        note_new_labels(family, labels, lesson.known)
    problem = _read(runtime, lesson, decoder, labels, max(choices), progress)
    units, classes = problem.units, family.classes(labels)
    head = None if start_app is None else _start(start_app, labels)
    head_layers, l2 = choose_head(
        family, units, classes, choices, bundle.width, None, progress, head
    )
    progress("solving", 0, None)
    features = units.features[:, -head_layers * bundle.width :]
    head, logits, is_held_out = solve_and_judge(
        features, units.targets, units.row_of, classes, l2, family.head_loss, head
    )
    judged = [*range(len(lesson.rows))]
    if not is_held_out.all():  # one fold of very many, or none of a single example
        rows_held_out = np.unique(np.asarray(units.row_of)[is_held_out]).tolist()
        judged = [row for row in rows_held_out if row < len(lesson.rows)]
    rows, metric = [lesson.rows[row] for row in judged], family.metric
    value = before = None
    if len(judged) >= FEWEST_JUDGED:
        answers = problem.predictions(logits, labels, judged, lesson.none_below)
        value = family.score(rows, answers)[metric]
        is_new = not any(has_learnt(family.text(row)) for row in rows)
        old = runtime.app(name) if is_new and name in runtime.names else None
        if old is not None and old.family == family.name:
            answers = _answers_of(runtime, old, problem, judged)
            before = family.score(rows, answers)[metric]
    app = BundledApp(
        name=name,
        family=family.name,
        decoder=decoder,
        labels=labels,
        head_layers=head_layers,
        max_length=problem.max_length,
        family_of_primary=problem.primary,
        weight=head.weight,
        bias=head.bias,
        lora={} if start_app is None else start_app.lora,
        fingerprint=bundle.backbone,
        units=RULE,
        none_below=lesson.none_below,
    )
    written = app.to_bytes(FLOATS[bundle.precision])
    seconds = time.perf_counter() - start
    progress("solved", 1, 1)
    return BundledApp.from_bytes(name, written, f"app {name}"), Score(
        metric, value, len(lesson.rows), len(judged), seconds, l2, head_layers, before
    )


def _read(
    runtime: Runtime,
    lesson: Lesson,
    decoder: str,
    labels: Sequence[str],
    states: int,
    progress: Progress,
) -> _Problem:
    """Tokenise the texts of a lesson, and compute so many states of its units."""
    family, bundle, start = lesson.family, runtime.bundle, lesson.start
    max_length = min(lesson.max_length, bundle.max_length)
    if start is None:
        note_shorter(lesson.max_length, max_length)
    examples = Examples.prepare(family, [*lesson.rows, *lesson.rehearsed], runtime, max_length)
    notes = Notes()
    examples.note_cut_entities(numbered("the examples"), notes)
    notes.log()
    targets = targets_by_window(family, examples, labels)
    check_targets(targets)
    check_entities(examples)
    primary = family.family_of_primary
    primary = primary if primary in bundle.primary_families else NONE
    if start is not None:
        primary = start.family_of_primary
    ids = [window.ids for window in examples.encoded]
    tokens = examples.tokens if DECODERS[decoder].per_word else None
    features = runtime.features(
        primary, ids, tokens, states, progress, start.lora if start and start.lora else None
    )
    units = Units(features, np.concatenate(targets), rows_of_units(examples, targets))
    slot = primary if start is None else start.slot
    return _Problem(examples, units, primary, slot, decoder, max_length)


def _start(app: BundledApp, labels: Sequence[str]) -> LinearHead:
    """The head of an app, with rows of zeros for labels that it does not have."""
    classes = DECODERS[app.decoder].classes
    shared = classes([])  # outputs of no label, which come first
    each = classes(["one"]) - shared
    weight = np.zeros((classes(labels), app.weight.shape[1]), np.float32)
    bias = np.zeros(len(weight), np.float32)
    rows = np.arange(len(app.bias))
    for number, label in enumerate(app.labels if each else ()):
        first = shared + number * each
        rows[first : first + each] = shared + labels.index(label) * each + np.arange(each)
    weight[rows], bias[rows] = app.weight, app.bias
    return LinearHead(weight, bias)


def rehearsed(
    family: Family[Any, Any], app: BundledApp, texts: Sequence[str], answers: Sequence[Any]
) -> list[Any]:
    """Texts as rows with an app's answers as labels. A text that it gave no label is left out."""
    rows: list[Any] = []
    for text, answer in zip(texts, answers, strict=True):
        if isinstance(answer, Entities):
            rows.append(AnnotatedText(text, tuple(answer.entities)))
        elif isinstance(answer, Labelled):
            if not answer.abstained:
                rows.append(LabelledText(text, tuple(answer.labels)))
        else:
            low, high = map(float, app.labels)
            rows.append(LabelledText(text, (str(min(max(answer, low), high)),)))
    return rows


def _answers_of(
    runtime: Runtime, app: BundledApp, problem: _Problem, rows: Sequence[int]
) -> list[Any]:
    """What an app answers to some rows; one that reads the same states is not computed anew."""
    features, wide = problem.units.features, app.weight.shape[1]
    is_same = (app.slot, app.max_length) == (problem.slot, problem.max_length)
    if not is_same or app.decoder != problem.decoder or wide > features.shape[1]:
        return runtime.predict_examples(app.name, [problem.examples.rows[row] for row in rows])
    logits = app.logits(features[:, -wide:])
    return problem.predictions(logits, app.labels, rows, app.none_below)
