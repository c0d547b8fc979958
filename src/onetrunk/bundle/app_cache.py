"""The apps of a runtime: which there are, which are in memory, and their LoRA, stacked.

With room for fewer than there are, an app is read at its first use, and what was used least
recently makes way.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from onetrunk.bundle.app import BundledApp, Lora, a_name, b_name
from onetrunk.bundle.layout import NONE, Bundle, check_name
from onetrunk.errors import UserError, nearest


@dataclass(frozen=True)
class Loaded:
    """The apps of a moment and their LoRA, stacked. Never changed: a request that has one sees the
    same apps to its end, whatever is added or removed meanwhile."""

    apps: Mapping[str, BundledApp]
    slots: Mapping[str, int]
    stacked: Mapping[str, np.ndarray]


class AppCache:
    """Thread-safe. ``shapes`` are those of the top's inputs; ``max_loaded`` is how many apps of the
    bundle are in memory at most (None: all)."""

    def __init__(
        self,
        bundle: Bundle,
        shapes: Mapping[str, Sequence[int]],
        names: Sequence[str],
        max_loaded: int | None,
    ) -> None:
        if max_loaded is not None and max_loaded < 1:
            raise UserError(f"room for {max_loaded} apps: it must be at least 1")
        self.bundle, self.max_loaded = bundle, max_loaded
        self._shapes = shapes
        self._primary_loras = {
            family: bundle.primary_lora(family) for family in bundle.primary_families
        }
        for name in names:
            bundle.check_known(name)
        self._on_disk = dict.fromkeys(names)
        self._own: dict[str, BundledApp] = {}  # added in memory: nothing to read them from
        self._clock, self._used = itertools.count(), dict[str, int]()
        self._changing = threading.Lock()
        first = [*self._on_disk][:max_loaded]
        self.now = self._stack({name: bundle.app(name) for name in first})

    @property
    def names(self) -> list[str]:
        """Of all apps there are, in memory or not."""
        return [*self._on_disk, *self._own]

    def having(self, names: Sequence[str], some: bool = False) -> Loaded:
        """A state in which these apps are in memory; with ``some``, those of them that there still
        are. Raises :class:`UserError` with the nearest name if one is unknown, or if its file is
        damaged."""
        now = self.now
        for name in names:
            self._used[name] = next(self._clock)
        if all(name in now.apps for name in names):
            return now
        with self._changing:
            now = self.now
            if some:
                names = [name for name in names if name in self._on_disk or name in self._own]
            wanted = {name: now.apps.get(name) or self._read(name) for name in names}
            rest = [name for name in now.apps if name not in wanted and name not in self._own]
            rest.sort(key=lambda name: self._used.get(name, -1))
            spare = max(0, (self.max_loaded or len(self._on_disk)) - len(wanted.keys() - self._own))
            kept = {name: now.apps[name] for name in rest[len(rest) - min(spare, len(rest)) :]}
            self.now = self._stack({**self._own, **kept, **wanted})
            return self.now

    def add(self, app: BundledApp) -> None:
        """Add an app, or put it in the place of the one of its name; it stays in memory. Raises
        :class:`UserError`, and changes nothing, if it does not fit the bundle."""
        check_name(app.name)
        self.bundle.check_app(app, f"app {app.name}")
        with self._changing:
            self.now = self._stack({**self.now.apps, app.name: app})
            self._own = {**self._own, app.name: app}
            self._on_disk = {name: None for name in self._on_disk if name != app.name}

    def remove(self, name: str) -> None:
        """Forget an app. Raises :class:`UserError` with the nearest name if unknown."""
        with self._changing:
            self._check(name)
            self.now = self._stack({k: app for k, app in self.now.apps.items() if k != name})
            self._own = {k: app for k, app in self._own.items() if k != name}
            self._on_disk = {other: None for other in self._on_disk if other != name}

    def _read(self, name: str) -> BundledApp:
        self._check(name)
        return self.bundle.app(name)

    def _check(self, name: str) -> None:
        if name not in self._on_disk and name not in self._own:
            raise UserError(f"unknown app {name!r}; {nearest(name, self.names)}")

    def _stack(self, apps: Mapping[str, BundledApp]) -> Loaded:
        """Apps with the LoRAs that they use, stacked; slot 0 is the bare backbone."""
        loras: dict[str, Lora] = {NONE: {}}
        for app in apps.values():
            loras[app.slot] = app.lora or self._primary_loras.get(app.slot, {})
        slots = {name: number for number, name in enumerate(loras)}
        return Loaded(dict(apps), slots, stack_loras(self.bundle, self._shapes, [*loras.values()]))


def stack_loras(
    bundle: Bundle, shapes: Mapping[str, Sequence[int]], loras: Sequence[Lora]
) -> dict[str, np.ndarray]:
    """What the top wants of some LoRAs, by input: ``(n, d_in, r)`` and ``(n, r, d_out)`` of every
    place, zero where a LoRA has none or is of a lower rank. ``shapes`` are those of its inputs."""
    rank = max((a.shape[1] for lora in loras for a, _ in lora.values()), default=1)
    stacked: dict[str, np.ndarray] = {}
    for layer in range(bundle.depth - bundle.k, bundle.depth):
        for target in bundle.targets:
            first, second = a_name(layer, target), b_name(layer, target)
            a = np.zeros((len(loras), shapes[first][1], rank), np.float32)
            b = np.zeros((len(loras), rank, shapes[second][2]), np.float32)
            for slot, lora in enumerate(loras):
                if (layer, target) in lora:
                    own_a, own_b = lora[layer, target]
                    a[slot, :, : own_a.shape[1]], b[slot, : len(own_b)] = own_a, own_b
            stacked |= {first: a, second: b}
    return stacked
