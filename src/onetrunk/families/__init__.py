"""Task families: what onetrunk can pre-finetune for and adapt to."""

from __future__ import annotations

from typing import Any

from onetrunk.errors import UserError, nearest
from onetrunk.families.base import Family
from onetrunk.families.classification import Classification
from onetrunk.families.ner import Ner

FAMILIES: dict[str, Family[Any, Any]] = {Ner.name: Ner(), Classification.name: Classification()}
"""Families by name. A plug-in adds its own here."""


def family(name: str) -> Family[Any, Any]:
    """Look a family up. Raises :class:`UserError` with the nearest name if unknown."""
    try:
        return FAMILIES[name]
    except KeyError:
        raise UserError(f"unknown task family {name!r}; {nearest(name, FAMILIES)}") from None
