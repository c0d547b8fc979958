"""Registries: onetrunk's own entries, and those that installed packages add by entry points."""

from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar

from onetrunk.errors import UserError, extra_of

Entry = TypeVar("Entry")
FAMILIES = "onetrunk.families"
"""The group of entry points that add task families."""


class Plugins(Mapping[str, Entry], Generic[Entry]):
    """A mapping from names to entries of one kind: task families, or stage-1 objectives.

    A plug-in is imported when its name is looked up, so one that does not work harms no other. The
    look-up raises :class:`UserError` if two packages provide the name, and if the plug-in cannot be
    imported or is not of this kind.
    """

    def __init__(
        self,
        group: str,
        kind: str,
        own: Mapping[str, Entry],
        check: Callable[[str, Any], Entry],
    ) -> None:
        """``group`` is the group of entry points; ``kind`` is what messages call an entry.

        ``check(name, loaded)`` turns what an entry point refers to into an entry. If it cannot, it
        raises TypeError with the rest of a sentence that begins "task family 'x' of package y".
        """
        self._group, self._kind, self._check = group, kind, check
        self._own = dict(own)
        self._loaded: dict[str, Entry] = {}

    def add(self, name: str, entry: Entry) -> None:
        """Add an entry from a script; an installed package has an entry point instead."""
        if name in self:
            raise UserError(f"there is a {self._kind} {name!r} already")
        self._own[name] = entry

    def __getitem__(self, name: str) -> Entry:
        if name not in self._loaded:
            self._loaded[name] = self._load(name)
        return self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys([*self._own, *(point.name for point in self._points())]))

    def __len__(self) -> int:
        return len(list(iter(self)))

    def _points(self) -> list[EntryPoint]:
        return sorted(entry_points(group=self._group), key=lambda point: point.name)

    def _load(self, name: str) -> Entry:
        points = [point for point in self._points() if point.name == name]
        providers = ["onetrunk"] * (name in self._own) + [_package(point) for point in points]
        if len(providers) > 1:
            raise UserError(
                f"{self._kind} {name!r} is provided by {' and by '.join(providers)}: uninstall one"
            )
        if not points:
            return self._own[name]
        plugin = f"{self._kind} {name!r} of {providers[0]}"
        try:
            loaded = points[0].load()
        except Exception as error:  # whatever the plug-in's own code raises
            if isinstance(error, ModuleNotFoundError) and error.name == "torch":
                install = f"pip install '{extra_of('torch')}'"
                raise UserError(f"{plugin} needs torch: {install}") from error
            raise UserError(f"{plugin} cannot be used: {type(error).__name__}: {error}") from error
        try:
            return self._check(name, loaded)
        except TypeError as error:
            raise UserError(f"{plugin} {error}") from error


def _package(point: EntryPoint) -> str:
    return f"package {point.dist.name if point.dist else '?'} ({point.value})"
