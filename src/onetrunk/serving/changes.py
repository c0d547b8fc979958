"""The apps of a service, changed one at a time while it answers.

A change is made on a copy of the runtime. The copy takes the runtime's place once it has answered
and the bundle on disk has changed; until then, and if anything fails, all stays as it was.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onetrunk.bundle.app import BundledApp
from onetrunk.bundle.change import put_app, remove_apps
from onetrunk.bundle.layout import FLOATS, check_name
from onetrunk.data.notes import overheard
from onetrunk.errors import UserError
from onetrunk.interface import Score
from onetrunk.replacing import remove_leftovers
from onetrunk.serving.refusal import Refusal

if TYPE_CHECKING:
    from onetrunk.apps.engine import Engine
    from onetrunk.bundle.runtime import Runtime

PROBES = ["", "Ann met Bob in New York, at 7.", "日本語 😀 " * 200]
"""What an app must answer before it replaces another one."""


class Apps:
    """The model that a service runs. ``bundle`` is its folder, which keeps every change; None for
    app folders on PyTorch, whose apps do not change."""

    def __init__(self, model: Engine | Runtime, bundle: Path | None) -> None:
        self.model = model
        self._bundle = None if bundle is None else bundle.resolve()  # a link stays one
        if self._bundle is not None:
            remove_leftovers(self._bundle)  # of a service that was killed once a change was done
        self._changing = threading.Lock()

    def listed(self) -> list[dict[str, Any]]:
        """Name, family and labels of every app; an app that is not in memory has only its name."""
        listed = []
        for name in self.model.names:
            app: Any = self.model.apps.get(name)
            about = {} if app is None else {"family": app.family, "labels": [*app.labels]}
            if not isinstance(
                about.get("family", ""), str
            ):  # an engine's app has the family itself
                about["family"] = about["family"].name
            listed.append({"name": name, **about})
        return listed

    def put(self, name: str, content: bytes) -> bool:
        """Add an app, or replace the one of its name, by the bytes of its file. Returns whether it
        is new. Raises :class:`UserError` if it is damaged, does not fit the bundle or does not
        answer, and :class:`Refusal` if the service has no bundle."""
        with self._changing:
            runtime, bundle = self._changeable()
            check_name(name, runtime.names)
            is_new = name not in runtime.names
            app = BundledApp.from_bytes(name, content, f"app {name}")
            changed = runtime.with_apps({name: app})
            _check_answers(changed, name)
            with _writing():
                put_app(bundle, name, content)
            self.model = changed
            return is_new

    def remove(self, name: str) -> None:
        """Take an app away. Raises :class:`UserError` if it is unknown, and :class:`Refusal` if the
        service has no bundle."""
        with self._changing:
            runtime, bundle = self._changeable()
            changed = runtime.without(name)
            with _writing():
                remove_apps(bundle, [name])
            self.model = changed

    def teach(
        self,
        name: str,
        family: str,
        examples: Sequence[Any],
        labels: Sequence[str],
        keep: bool,
        start: str | None = None,
        stay: Sequence[str] = (),
        overwrite: bool = False,
    ) -> tuple[Score, list[str]]:
        """Train an app from examples, as ``Runtime.teach`` does, and return what that returns, and
        the notes that it logs: of new labels, of odd rows. With ``keep`` the bundle keeps the app.

        Raises :class:`UserError` for wrong examples. Raises :class:`Refusal` if the service has no
        bundle, and for an app that is there, unless ``start`` names it or ``overwrite`` is true.
        """
        with self._changing:
            runtime, bundle = self._changeable()
            check_name(name, runtime.names)
            if name in runtime.names and start != name and not overwrite:
                raise Refusal(
                    409,
                    f'there is an app {name!r}: go on from it by "start": {json.dumps(name)}, or '
                    'replace it by "overwrite": true, or choose another name',
                )
            changed = runtime.with_apps({})
            with overheard() as notes:
                score = changed.teach(name, family, examples, labels, start=start, stay=stay)
            _check_answers(changed, name)
            if keep:
                with _writing():
                    put_app(
                        bundle, name, changed.apps[name].to_bytes(FLOATS[runtime.bundle.precision])
                    )
            self.model = changed
            return score, notes

    def _changeable(self) -> tuple[Runtime, Path]:
        if self._bundle is None:
            raise Refusal(
                501, "these are app folders, which do not change: serve an exported bundle instead"
            )
        runtime: Any = self.model
        return runtime, self._bundle


@contextmanager
def _writing() -> Iterator[None]:
    """Says why a bundle cannot be written: the disk is full, or not ours to write."""
    try:
        yield
    except OSError as error:
        raise Refusal(409, f"the bundle cannot be changed: {error.strerror or error}") from None


def _check_answers(runtime: Runtime, name: str) -> None:
    """Raise :class:`UserError` unless an app answers, with numbers that are finite."""
    try:
        json.dumps(runtime.predict(PROBES, [name]), allow_nan=False)
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"app {name} cannot answer: {error!r:.200}") from None
