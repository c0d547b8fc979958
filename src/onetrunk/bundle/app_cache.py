"""The apps of a runtime: their names, those in memory, and their LoRA, stacked.

If fewer apps than there are may be in memory, an app is read at its first use and replaces the one
that was used least recently.
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
    """The apps in memory at one moment and their LoRA, stacked. It never changes: a request that
    holds one sees the same apps to its end, whatever is added or removed meanwhile."""

    apps: Mapping[str, BundledApp]
    slots: Mapping[str, int]
    """Number of each LoRA in the stack, by :attr:`BundledApp.slot`."""
    stacked: Mapping[str, np.ndarray]
    """The top's LoRA inputs, as :func:`stack_loras` gives them."""


class AppCache:
    """The apps ``names`` of a bundle. Thread-safe.

    ``shapes`` are those of the top's inputs; ``max_loaded`` is how many apps of the bundle are in
    memory at most (None: all).
    """

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
        self._in_memory_only: dict[str, BundledApp] = {}
        self._clock, self._last_use = itertools.count(), dict[str, int]()
        self._changing = threading.Lock()
        first = [*self._on_disk][:max_loaded]
        self.now = self._stack({name: bundle.app(name) for name in first})

    @property
    def names(self) -> list[str]:
        """Of all apps, in memory or not."""
        return [*self._on_disk, *self._in_memory_only]

    def having(self, names: Sequence[str], some: bool = False) -> Loaded:
        """A state in which these apps are in memory; with ``some``, those that still exist.

        Raises :class:`UserError` with the nearest name if one is unknown, or if its file is
        damaged.
        """
        now = self.now
        for name in names:
            self._last_use[name] = next(self._clock)
        if all(name in now.apps for name in names):
            return now
        with self._changing:
            now = self.now
            if some:
                names = [name for name in names if self._exists(name)]
            needed = {name: now.apps.get(name) or self._read(name) for name in names}
            others = [
                name for name in now.apps if name not in needed and name not in self._in_memory_only
            ]
            others.sort(key=lambda name: self._last_use.get(name, -1))
            limit = self.max_loaded or len(self._on_disk)
            spare = max(0, limit - len(needed.keys() - self._in_memory_only))
            recent = {name: now.apps[name] for name in others[max(0, len(others) - spare) :]}
            self.now = self._stack({**self._in_memory_only, **recent, **needed})
            return self.now

    def add(self, app: BundledApp) -> None:
        """Add an app, or replace the one of its name; it stays in memory. Raises
        :class:`UserError`, and changes nothing, if it does not fit the bundle."""
        check_name(app.name)
        self.bundle.check_app(app, f"app {app.name}")
        with self._changing:
            self.now = self._stack({**self.now.apps, app.name: app})
            self._in_memory_only = {**self._in_memory_only, app.name: app}
            self._on_disk = {name: None for name in self._on_disk if name != app.name}

    def remove(self, name: str) -> None:
        """Forget an app. Raises :class:`UserError` with the nearest name if unknown."""
        with self._changing:
            self._check(name)
            self.now = self._stack(_without(self.now.apps, name))
            self._in_memory_only = _without(self._in_memory_only, name)
            self._on_disk = {other: None for other in self._on_disk if other != name}

    def stack_primary(self, family: str) -> Mapping[str, np.ndarray]:
        """The top's LoRA inputs with one primary LoRA at number 0; without one, the bare
        backbone."""
        return stack_loras(self.bundle, self._shapes, [self._primary_loras.get(family, {})])

    def _exists(self, name: str) -> bool:
        return name in self._on_disk or name in self._in_memory_only

    def _check(self, name: str) -> None:
        if not self._exists(name):
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
        return Loaded(dict(apps), slots, stack_loras(self.bundle, self._shapes, [*loras.values()]))


def stack_loras(
    bundle: Bundle, shapes: Mapping[str, Sequence[int]], loras: Sequence[Lora]
) -> dict[str, np.ndarray]:
    """The top's LoRA inputs: ``(n, d_in, r)`` and ``(n, r, d_out)`` float32 of every place.

    They are zero where a LoRA lacks a place or has a lower rank. ``shapes`` are those of the
    inputs.
    """
    rank = max((a.shape[1] for lora in loras for a, _ in lora.values()), default=1)
    stacked: dict[str, np.ndarray] = {}
    for layer in range(bundle.depth - bundle.k, bundle.depth):
        for target in bundle.targets:
            first, second = a_name(layer, target), b_name(layer, target)
            a = np.zeros((len(loras), shapes[first][1], rank), np.float32)
            b = np.zeros((len(loras), rank, shapes[second][2]), np.float32)
            for number, lora in enumerate(loras):
                if (layer, target) in lora:
                    lora_a, lora_b = lora[layer, target]
                    a[number, :, : lora_a.shape[1]], b[number, : len(lora_b)] = lora_a, lora_b
            stacked |= {first: a, second: b}
    return stacked


def _without(apps: Mapping[str, BundledApp], name: str) -> dict[str, BundledApp]:
    return {other: app for other, app in apps.items() if other != name}
