"""Things by name: those of onetrunk, and those that installed packages add by an entry point."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar

from onetrunk.errors import UserError

Thing = TypeVar("Thing")


class Plugins(Mapping[str, Thing], Generic[Thing]):
    """A mapping from names to things of one kind: families, or stage-1 objectives.

    A plug-in is imported when its name is looked up, so one that does not work harms no other.
    Looking a name up raises :class:`UserError` if two sides provide it, or if the plug-in that does
    cannot be imported or is not what its entry point says.
    """

    def __init__(
        self,
        group: str,
        what: str,
        own: Mapping[str, Thing],
        check: Callable[[str, Any], Thing],
    ) -> None:
        """``group`` is the entry points' group, ``what`` the kind of thing in messages.

        ``check(name, loaded)`` turns what an entry point holds into a thing; it raises TypeError,
        with a phrase that goes on from "task family 'x' of package y", if it is not one.
        """
        self._group, self._what, self._check = group, what, check
        self._own = dict(own)
        self._loaded: dict[str, Thing] = {}

    def add(self, name: str, thing: Thing) -> None:
        """Make known what a script brings and no installed package does."""
        if name in self:
            raise UserError(f"there is a {self._what} {name!r} already")
        self._own[name] = thing

    def __getitem__(self, name: str) -> Thing:
        if name not in self._loaded:
            self._loaded[name] = self._load(name)
        return self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys([*self._own, *(point.name for point in self._points())]))

    def __len__(self) -> int:
        return len(list(iter(self)))

    def _points(self) -> list[EntryPoint]:
        return sorted(entry_points(group=self._group), key=lambda point: point.name)

    def _load(self, name: str) -> Thing:
        points = [point for point in self._points() if point.name == name]
        sides = ["onetrunk"] * (name in self._own) + [_package(point) for point in points]
        if len(sides) > 1:
            raise UserError(
                f"{self._what} {name!r} is provided by {' and by '.join(sides)}: uninstall one"
            )
        if not points:
            return self._own[name]
        where = f"{self._what} {name!r} of {sides[0]}"
        try:
            loaded = points[0].load()
        except Exception as error:  # whatever the plug-in's own code raises
            raise UserError(f"{where} cannot be used: {type(error).__name__}: {error}") from error
        try:
            return self._check(name, loaded)
        except TypeError as error:
            raise UserError(f"{where} {error}") from error


def _package(point: EntryPoint) -> str:
    return f"package {point.dist.name if point.dist else '?'} ({point.value})"
