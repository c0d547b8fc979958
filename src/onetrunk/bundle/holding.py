"""The part of a runtime that holds its apps: they are added, replaced, removed and judged.

Its imports wait until they are needed, for most devices only predict.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, cast

from onetrunk.bundle.app import BundledApp
from onetrunk.bundle.app_cache import AppCache
from onetrunk.bundle.layout import Bundle
from onetrunk.bundle.sessions import Sessions
from onetrunk.bundle.teaching import Teaching

if TYPE_CHECKING:
    from onetrunk.apps.app import App
    from onetrunk.apps.evaluation import Evaluation
    from onetrunk.bundle.runtime import Runtime

DESCRIBED = 10
"""So many apps are described where a runtime is shown."""


class Holding(Teaching):
    """What :class:`~onetrunk.bundle.runtime.Runtime` inherits."""

    def __init__(self, bundle: Bundle, sessions: Sessions, app_cache: AppCache) -> None:
        super().__init__(bundle, app_cache)
        self._sessions = sessions

    def __repr__(self) -> str:
        names, shown = self.names, []
        for name in names[:DESCRIBED]:
            app = self.apps.get(name)  # others are not read for this
            shown.append(f"{name} ({app.family}, {len(app.labels)} labels)" if app else name)
        shown += [f"… ({len(names)} in all)"] * (len(names) > DESCRIBED)
        return f"Runtime of {', '.join(shown) or 'no apps'} in {self.bundle.folder}"

    def __copy__(self) -> Self:
        other = object.__new__(type(self))
        other.__dict__ |= self.__dict__
        return other

    def __reduce__(self) -> Any:
        raise TypeError(
            "a Runtime cannot be pickled or copied deeply: open its bundle again, Runtime(folder)"
        )

    @property
    def names(self) -> list[str]:
        """Names of all apps, in memory or not."""
        return self._app_cache.names

    @property
    def apps(self) -> Mapping[str, BundledApp]:
        """The apps in memory, by name."""
        return self._app_cache.now.apps

    def app(self, name: str) -> BundledApp:
        """An app, read if it is not in memory. Raises :class:`UserError` with the nearest name if
        unknown."""
        return self._app_cache.having([name]).apps[name]

    def add(self, app: BundledApp | str | Path | App, name: str | None = None) -> None:
        """Add an app, or replace the one of its name; it stays in memory.

        ``app`` is one of a runtime, the file of one (``apps/NAME.safetensors`` of a bundle), or the
        folder of one that ``onetrunk.adapt`` made; none of these needs PyTorch. It is called
        ``name``, by default as the file or the folder. An :class:`~onetrunk.apps.app.App` needs a
        name. Raises :class:`UserError`, and changes nothing, for anything else, and for an app that
        is damaged or does not fit the bundle.
        """
        if not isinstance(app, BundledApp) or name is not None:
            from onetrunk.bundle.given import given_app

            app = given_app(app, name, self.bundle, self._sessions.shapes)
        self._app_cache.add([app])
        self._made_elsewhere([app.name])

    def remove(self, name: str) -> None:
        """Forget an app. Raises :class:`UserError` with the nearest name if unknown."""
        self._app_cache.remove([name])
        self._forget([name])

    def with_apps(self, apps: Mapping[str, BundledApp | str | Path | App]) -> Self:
        """A runtime with these apps, too, in place of those of the same names. It shares the graphs
        with this one, which stays as it is. Apps are given as to :meth:`add`. Raises
        :class:`UserError` as :meth:`add` does, and if they are not given by name."""
        other = self._copied()
        if apps != {}:
            from onetrunk.bundle.given import given_apps

            every = given_apps(apps, self.bundle, self._sessions.shapes)
            other._app_cache.add(every)
            other._made_elsewhere([app.name for app in every])
        return other

    def without(self, *names: str) -> Self:
        """A runtime without these apps. It shares the graphs with this one, which stays as it is.
        Raises :class:`UserError` for an unknown app."""
        other = self._copied()
        other._app_cache.remove(names)
        other._forget(names)
        return other

    def evaluate(
        self,
        name: str,
        data: Any,
        text_column: str | None = None,
        label_column: str | Sequence[str] | None = None,
        strict_labels: bool = False,
        temperature: bool = False,
    ) -> Evaluation:
        """Score an app on labelled rows, as the device answers them; of a folder, on its test
        split. The arguments are those of :meth:`onetrunk.App.evaluate`.

        Raises :class:`UserError` for an unknown app, and for rows that cannot be read or used.
        """
        from onetrunk.bundle.evaluation import evaluate
        from onetrunk.data.sources import Columns

        columns = Columns.named(text_column, label_column)
        runtime = cast("Runtime", self)
        return evaluate(runtime, name, data, columns, strict_labels, temperature)

    def _copied(self) -> Self:
        other = copy(self)
        other._app_cache = copy(self._app_cache)
        other._examples, other._learnt = dict(self._examples), dict(self._learnt)
        return other
