"""Task families: what onetrunk can pre-finetune for and adapt to.

A plug-in adds a family. It is an installed package with an entry point in the group
``onetrunk.families`` that has the family's name and points to its
:class:`~onetrunk.families.base.Family`::

    [project.entry-points."onetrunk.families"]
    nli = "inference:Inference"
"""

from typing import Any

from onetrunk.errors import UserError, nearest
from onetrunk.families.base import Family
from onetrunk.families.classification import Classification
from onetrunk.families.multi_label import MultiLabel
from onetrunk.families.ner import Ner
from onetrunk.families.nested_ner import NestedNer
from onetrunk.families.rating import Rating
from onetrunk.plugins import FAMILIES as GROUP
from onetrunk.plugins import Plugins


def families_of(*built_in: Family[Any, Any]) -> Plugins[Family[Any, Any]]:
    """These families and those of plug-ins, by name."""
    return Plugins(GROUP, "task family", {family.name: family for family in built_in}, _made)


def _made(name: str, loaded: Any) -> Family[Any, Any]:
    try:
        made = loaded()
    except Exception as error:  # whatever the plug-in's own code raises
        raise TypeError(f"cannot be used: {type(error).__name__}: {error}") from error
    if not isinstance(made, Family):
        raise TypeError(f"is no Family: {type(made).__name__}")
    if made.name != name:
        raise TypeError(f"calls itself {made.name!r}: the entry point must too")
    missing = {*made.STANDARD} - {*made.own_methods, "blend"}
    if made.decoder is None and missing:
        raise TypeError(f"names no decoder and lacks {', '.join(sorted(missing))}")
    return made


FAMILIES = families_of(Ner(), NestedNer(), Classification(), MultiLabel(), Rating())
"""All families by name."""


def family(name: str) -> Family[Any, Any]:
    """Look a family up. Raises :class:`UserError` with the nearest name if unknown."""
    if not isinstance(name, str) or name not in FAMILIES:
        raise UserError(f"unknown task family {name!r:.60}; {nearest(name, FAMILIES)}")
    return FAMILIES[name]
