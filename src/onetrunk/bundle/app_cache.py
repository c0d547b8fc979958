"""The apps of a runtime: their names, those in memory, and their LoRA, stacked.

If fewer apps than there are may be in memory, an app is read at its first use and replaces the one
that was used least recently.
"""

import itertools
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from onetrunk.bundle.app import BundledApp, Lora
from onetrunk.bundle.layout import NONE, Bundle, check_names
from onetrunk.bundle.sessions import Sessions
from onetrunk.errors import UserError, as_number, nearest


@dataclass(frozen=True)
class Loaded:
    """The apps in memory at one moment and their LoRA, stacked. It never changes: a request that
    holds one sees the same apps to its end, whatever is added or removed meanwhile."""

    apps: Mapping[str, BundledApp]
    slots: Mapping[str, int]
    """Number of each LoRA in the stack, by :attr:`BundledApp.slot`."""
    stacked: Any
    """The LoRAs, as :meth:`onetrunk.bundle.sessions.Sessions.stack` gives them."""


class AppCache:
    """The apps ``names`` of a bundle. Thread-safe.

    ``max_loaded`` is how many apps of the bundle are in memory at most (None: all).
    """

    def __init__(
        self,
        bundle: Bundle,
        sessions: Sessions,
        names: Sequence[str],
        max_loaded: int | None,
    ) -> None:
        if max_loaded is not None:
            max_loaded = as_number(max_loaded, "max_loaded", 1)
        self.bundle, self.max_loaded = bundle, max_loaded
        self._sessions = sessions
        self._primary_loras = {
            family: bundle.primary_lora(family) for family in bundle.primary_families
        }
        self._stacked_primaries: dict[str, Any] = {}
        for name in names:
            bundle.check_known(name)
        # By name, an app that was added in memory; None for one that the bundle holds.
        self._apps: dict[str, BundledApp | None] = dict.fromkeys(names)
        self._clock, self._last_use = itertools.count(), dict[str, int]()
        self._changing = threading.Lock()
        self.now = self._stack({name: bundle.app(name) for name in [*self._apps][:max_loaded]})

    @property
    def names(self) -> list[str]:
        """Of all apps, in memory or not."""
        return [*self._apps]

    def having(self, names: Sequence[str], some: bool = False) -> Loaded:
        """The apps in memory, these among them, read if need be. With ``some``, removed apps are
        passed over.

        Raises :class:`UserError` with the nearest name if one is unknown, or if its file is
        damaged.
        """
        now = self.now
        for name in names:
            if name in self._apps:
                self._last_use[name] = next(self._clock)
        if all(name in now.apps for name in names):
            return now
        with self._changing:
            now = self.now
            if some:
                names = [name for name in names if name in self._apps]
            needed = {name: now.apps.get(name) or self._read(name) for name in names}
            added = self.added
            others = [name for name in now.apps if name not in needed and name not in added]
            others.sort(key=lambda name: self._last_use.get(name, -1))
            limit = (self.max_loaded or len(self._apps)) - len(needed.keys() - added.keys())
            recent = others[max(0, len(others) - max(0, limit)) :]
            self.now = self._stack({**added, **{name: now.apps[name] for name in recent}, **needed})
            return self.now

    def add(self, apps: Sequence[BundledApp]) -> None:
        """Add apps, or replace those of their names; they stay in memory. Raises
        :class:`UserError`, and changes nothing, if one does not fit the bundle."""
        check_names([app.name for app in apps], self._apps)
        for app in apps:
            self.bundle.check_app(app, f"app {app.name}")
            check_shapes(self._sessions.shapes, app)
        added = {app.name: app for app in apps}
        with self._changing:
            self.now = self._stack({**self.now.apps, **added})
            self._apps = {**self._apps, **added}

    def remove(self, names: Sequence[str]) -> None:
        """Forget apps. Raises :class:`UserError` with the nearest name if one is unknown."""
        with self._changing:
            for name in names:
                self._check(name)
            self.now = self._stack({k: app for k, app in self.now.apps.items() if k not in names})
            self._apps = {k: app for k, app in self._apps.items() if k not in names}

    @property
    def added(self) -> dict[str, BundledApp]:
        """Apps that were added here, by name."""
        return {name: app for name, app in self._apps.items() if app is not None}

    def stack_primary(self, family: str) -> Any:
        """One family's primary LoRA alone, stacked; of a family without one, the bare backbone."""
        if family not in self._stacked_primaries:
            lora = self._primary_loras.get(family, {})
            self._stacked_primaries[family] = self._sessions.stack([lora])
        return self._stacked_primaries[family]

    def _check(self, name: str) -> None:
        if name not in self._apps:
            raise UserError(f"unknown app {name!r}; {nearest(name, self.names)}")

    def _read(self, name: str) -> BundledApp:
        self._check(name)
        return self.bundle.app(name)

    def _stack(self, apps: Mapping[str, BundledApp]) -> Loaded:
        """Apps with the LoRAs that they use, stacked; number 0 is the bare backbone."""
        loras: dict[str, Lora] = {NONE: {}}
        for app in apps.values():
            loras[app.slot] = app.lora or self._primary_loras.get(app.slot, {})
        slots = {name: number for number, name in enumerate(loras)}
        return Loaded(dict(apps), slots, self._sessions.stack([*loras.values()]))


def check_shapes(shapes: Mapping[str, Sequence[int | str]], app: BundledApp) -> None:
    """Raise :class:`UserError` unless an app's LoRA has the widths of the top's inputs and a rank
    of at most the smaller width. All LoRAs of a stack are padded to the highest rank among them."""
    for name, array in app.lora.items():
        _, width_in, _ = shapes[f"{name[:-1]}a"]
        *_, width_out = shapes[f"{name[:-1]}b"]
        widths = int(width_in), int(width_out)
        width = widths[name.endswith(".b")]
        rank = array.shape[name.endswith(".a")]
        if array.shape[name.endswith(".b")] != width or rank > min(widths):
            raise UserError(
                f"app {app.name}: its LoRA {name} is {array.shape[0]} x {array.shape[1]}; the "
                f"graph takes a width of {width} and a rank of {min(widths)} at most"
            )
