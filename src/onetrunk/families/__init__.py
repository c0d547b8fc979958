"""Task families: what onetrunk can pre-finetune for and adapt to.

A plug-in brings one more: an installed package with an entry point in the group
``onetrunk.families``, called by the family's name, that points to its
:class:`~onetrunk.families.base.Family`::

    [project.entry-points."onetrunk.families"]
    nli = "inference:Inference"
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from onetrunk.errors import UserError, nearest
from onetrunk.families.base import Family
from onetrunk.families.classification import Classification
from onetrunk.families.multi_label import MultiLabel
from onetrunk.families.ner import Ner
from onetrunk.families.nested_ner import NestedNer
from onetrunk.families.rating import Rating

GROUP = "onetrunk.families"


class Families(Mapping[str, Family[Any, Any]]):
    """Families by name: those given, and those of plug-ins.

    A plug-in is imported when its family is asked for, so one that does not work harms no other.
    Looking a name up raises :class:`UserError` if two sides provide it, or if the plug-in that does
    cannot be imported or is no family of that name.
    """

    def __init__(self, *own: Family[Any, Any]) -> None:
        self._own = {family.name: family for family in own}
        self._found: dict[str, Family[Any, Any]] = {}

    def add(self, family: Family[Any, Any]) -> None:
        """Make known the family of a script, which is not installed."""
        if family.name in self:
            raise UserError(f"there is a task family {family.name!r} already")
        self._own[family.name] = family

    def __getitem__(self, name: str) -> Family[Any, Any]:
        if name not in self._found:
            self._found[name] = self._find(name)
        return self._found[name]

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys([*self._own, *(point.name for point in _plugins())]))

    def __len__(self) -> int:
        return len(list(iter(self)))

    def _find(self, name: str) -> Family[Any, Any]:
        plugins = [point for point in _plugins() if point.name == name]
        sides = ["onetrunk"] * (name in self._own) + [_package(point) for point in plugins]
        if len(sides) > 1:
            raise UserError(
                f"task family {name!r} is provided by {' and by '.join(sides)}: uninstall one"
            )
        return _load(plugins[0]) if plugins else self._own[name]


def _plugins() -> list[EntryPoint]:
    return sorted(entry_points(group=GROUP), key=lambda point: point.name)


def _package(point: EntryPoint) -> str:
    return f"package {point.dist.name if point.dist else '?'} ({point.value})"


def _load(point: EntryPoint) -> Family[Any, Any]:
    where = f"task family {point.name!r} of {_package(point)}"
    try:
        made = point.load()()
    except Exception as error:  # whatever the plug-in's own code raises
        raise UserError(f"{where} cannot be used: {type(error).__name__}: {error}") from error
    if not isinstance(made, Family):
        raise UserError(f"{where} is no Family: {type(made).__name__}")
    if made.name != point.name:
        raise UserError(f"{where} calls itself {made.name!r}: the entry point must too")
    return made


FAMILIES = Families(Ner(), NestedNer(), Classification(), MultiLabel(), Rating())
"""All families by name."""


def family(name: str) -> Family[Any, Any]:
    """Look a family up. Raises :class:`UserError` with the nearest name if unknown."""
    try:
        return FAMILIES[name]
    except KeyError:
        raise UserError(f"unknown task family {name!r}; {nearest(name, FAMILIES)}") from None
