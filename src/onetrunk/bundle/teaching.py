"""The part of a runtime that teaches apps: it reads examples, keeps them if asked to, and saves.

Its imports wait until they are needed, for most devices only predict.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from onetrunk.bundle.app_cache import AppCache
from onetrunk.bundle.layout import Bundle, check_name
from onetrunk.data.rows import AnnotatedText
from onetrunk.errors import UserError, nearest
from onetrunk.interface import Score, listed
from onetrunk.progress import Progress, silent

if TYPE_CHECKING:
    from onetrunk.bundle.app import BundledApp
    from onetrunk.bundle.examples import Example
    from onetrunk.bundle.lesson import Lesson
    from onetrunk.bundle.runtime import Runtime
    from onetrunk.data.sources import Columns


class Teaching:
    """What :class:`~onetrunk.bundle.runtime.Runtime` inherits. One app is taught at a time, while
    other threads predict."""

    def __init__(self, bundle: Bundle, app_cache: AppCache) -> None:
        self.bundle, self._app_cache = bundle, app_cache
        # By app that was taught here, its examples; None: they are not kept.
        self._examples: dict[str, list[Example] | None] = {}
        # By app that was taught here, hashes of the texts that it has learnt.
        self._learnt: dict[str, frozenset[int]] = {}
        self._one_at_a_time = threading.RLock()

    def teach(
        self,
        name: str,
        family: str,
        examples: Any,
        labels: Sequence[str] = (),
        *,
        text_column: str | None = None,
        label_column: str | Sequence[str] | None = None,
        max_length: int | None = None,
        none_below: float | None = None,
        keep_examples: bool = False,
        start: str | None = None,
        stay: Sequence[str] = (),
        progress: Progress = silent,
    ) -> Score:
        """Make an app from labelled examples, or replace the one of its name: a linear head on the
        bundle's own states, as ``onetrunk.adapt(…, adapter="linear")`` makes it.

        ``examples`` and the columns are those of :func:`onetrunk.adapt`: a file, a list of rows or
        a table. ``labels`` names labels that no example has yet: the app knows them, but hardly
        ever answers them before it has learnt one; for a rating they are ends of the scale.
        ``max_length`` and ``none_below`` are those of ``adapt``, too. ``keep_examples`` keeps the
        examples, for :meth:`correct`, and with ``start`` those of that app, too. ``progress`` may
        raise, to stop.

        ``start`` names an app to go on from, whose training rows are not here: its head is
        penalised for what differs from it, so that a few corrections of its labels do not make it
        forget the rest. Its labels, LoRA and windows stay. So do its answers to the texts ``stay``,
        which are learnt, too. Rows of a new label need as many rows of its other labels beside
        them, or as many texts to ``stay``.

        The app is in memory alone until :meth:`save`. Raises :class:`UserError`, and changes
        nothing, for rows that cannot be read, if there is nothing to learn, if with ``start`` all
        rows have new labels and nothing stays, or examples are to be kept of an app that started
        from one that keeps none, and for a family that a device cannot run.
        """
        from onetrunk.data.sources import Columns

        lesson = self._lesson(family, examples, Columns.named(text_column, label_column))
        lesson = replace(lesson, labels=listed(labels, "labels"), none_below=none_below)
        if start is not None:
            if keep_examples and self._kept_if_any(start) is None:
                raise UserError(
                    f"app {start} keeps no examples, so examples kept of an app that starts from "
                    "it would not be all that it has learnt, and a correction would make it "
                    "forget the rest: do not keep them"
                )
            lesson = self._from(start, lesson, listed(stay, "texts whose answers stay"))
        elif max_length is not None:
            lesson = replace(lesson, max_length=max_length)
        return self._teach(name, lesson, keep_examples, progress)

    def correct(self, name: str, example: Any, progress: Progress = silent) -> Score:
        """Add one labelled example to those that an app keeps, and teach it again. An example of
        the same text is replaced.

        The app keeps its labels, windows and ``none_below``; a label that it did not have is added,
        and logged, since it may be a typo. Raises :class:`UserError`, and changes nothing, if it
        keeps no examples.
        """
        from onetrunk.data.sources import USUAL

        with self._one_at_a_time:
            app, kept = self._app_cache.having([name]).apps[name], self._kept(name)
            lesson = self._lesson(app.family, [example], USUAL)
            (row,) = lesson.rows
            texts = [old.text for old in kept]
            if row.text in texts:
                kept[texts.index(row.text)] = row
            else:
                kept.append(row)
            lesson = replace(lesson, rows=kept, labels=app.labels, max_length=app.max_length)
            lesson = replace(lesson, none_below=app.none_below, known=app.labels)
            return self._teach(name, lesson, True, progress)

    def save(self, names: Sequence[str] | None = None) -> list[str]:
        """Write apps that were taught or added here (default: all of them), and the examples that
        they keep, into the bundle's folder; return their names. It changes whole or not at all."""
        from onetrunk.bundle.change import put_apps
        from onetrunk.bundle.examples import to_lines

        with self._one_at_a_time:
            added = self.added
            wanted = [*added] if names is None else listed(names, "names of apps")
            for name in wanted:
                if name not in added:
                    hint = nearest(name, added)
                    raise UserError(f"app {name!r} was not taught or added here; {hint}")
            kept = {name: rows for name in wanted if (rows := self._examples.get(name))}
            lines = {name: to_lines(rows) for name, rows in kept.items()}
            put_apps(Bundle(self.bundle.folder), [added[name] for name in wanted], lines)
            self._reopen()
            return wanted

    def examples(self, name: str) -> list[dict[str, Any]]:
        """The examples that an app keeps, as rows that :meth:`teach` reads. Raises
        :class:`UserError` if it keeps none."""
        from onetrunk.bundle.examples import as_record

        return [as_record(row) for row in self._kept(name)]

    def forget_examples(self, name: str) -> None:
        """Delete the examples that an app keeps, here and at once in the bundle's folder."""
        from onetrunk.bundle.change import forget_examples

        with self._one_at_a_time:
            self._app_cache.having([name])
            forget_examples(self.bundle.folder, name)
            self._examples[name] = None
            self._reopen()

    @property
    def added(self) -> Mapping[str, BundledApp]:
        """Apps that were taught or added here, whether saved or not, by name."""
        return self._app_cache.added

    def _lesson(self, family: str, source: Any, columns: Columns) -> Lesson:
        from onetrunk.apps.reading import read_labelled
        from onetrunk.bundle.lesson import Lesson
        from onetrunk.data.notes import logged
        from onetrunk.families import family as family_named

        kind = family_named(family)
        with logged() as notes:
            rows, _ = read_labelled(kind, source, "train", notes, columns=columns)
        return Lesson(kind, rows)

    def _from(self, name: str, lesson: Lesson, stay: Sequence[str]) -> Lesson:
        """A lesson that goes on from an app."""
        from onetrunk.bundle.lesson import rehearsed

        app = self._app_cache.having([name]).apps[name]
        corrected = {row.text for row in lesson.rows}
        texts = [text for text in dict.fromkeys(stay) if text not in corrected]
        answers = cast("Runtime", self).predict_examples(name, [AnnotatedText(t) for t in texts])
        lesson = replace(lesson, start=app, max_length=app.max_length, known=app.labels)
        if lesson.none_below is None:
            lesson = replace(lesson, none_below=app.none_below)
        return replace(lesson, rehearsed=rehearsed(lesson.family, app, texts, answers))

    def _teach(self, name: str, lesson: Lesson, keep: bool, progress: Progress) -> Score:
        from onetrunk.bundle.examples import check_keepable
        from onetrunk.bundle.lesson import taught

        if keep:
            check_keepable(lesson.rows, lesson.family.name)
        check_name(name, self._app_cache.names)
        with self._one_at_a_time:
            texts = frozenset(hash(lesson.family.text(row)) for row in lesson.rows)
            before = self._texts_learnt(name)
            if lesson.start is not None:
                texts |= self._texts_learnt(lesson.start.name)
            app, score = taught(
                cast("Runtime", self), name, lesson, progress, lambda text: hash(text) in before
            )
            kept = list(lesson.rows) if keep else None
            if kept is not None and lesson.start is not None:
                texts_of_rows = {row.text for row in kept}
                others = self._kept(lesson.start.name)
                kept = [*(row for row in others if row.text not in texts_of_rows), *kept]
            self._app_cache.add([app])
            self._examples[name] = kept
            self._learnt[name] = texts
        return score

    def _texts_learnt(self, name: str) -> frozenset[int]:
        """Hashes of the texts that an app is known to have learnt: here, or by what it keeps."""
        from onetrunk.bundle.examples import read_examples

        if name in self._examples:
            return self._learnt.get(name, frozenset())
        try:
            kept = read_examples(self.bundle, name) or []
        except UserError:  # it may be taught anew to mend that
            kept = []
        return frozenset(hash(row.text) for row in kept)

    def _made_elsewhere(self, names: Sequence[str]) -> None:
        """Apps of these names were added: they keep no examples; what they learnt is unknown."""
        self._forget(names)
        self._examples |= dict.fromkeys(names)

    def _forget(self, names: Sequence[str]) -> None:
        for name in names:
            self._examples.pop(name, None)
            self._learnt.pop(name, None)

    def _kept(self, name: str) -> list[Example]:
        """A copy of what an app keeps. Raises :class:`UserError` if it keeps nothing."""
        rows = self._kept_if_any(name)
        if rows is None:
            how = "teach it with keep_examples=True (--keep-examples)"
            raise UserError(f"app {name!r} keeps no examples: {how}")
        return list(rows)

    def _kept_if_any(self, name: str) -> Sequence[Example] | None:
        from onetrunk.bundle.examples import read_examples

        self._app_cache.having([name])
        if name in self._examples:
            return self._examples[name]
        return read_examples(self.bundle, name)

    def _reopen(self) -> None:
        """Read the manifest anew, after files of the bundle have changed."""
        self.bundle = self._app_cache.bundle = Bundle(self.bundle.folder)
