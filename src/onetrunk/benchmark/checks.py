"""What a suite's models cannot check by themselves."""

from __future__ import annotations

import re
from dataclasses import fields
from typing import Any

from pydantic import TypeAdapter, ValidationError

from onetrunk.adaptation.task import AdaptSettings
from onetrunk.errors import UserError, nearest

OWN = ("adapter", "seed", "cache")
"""Adaptation settings that a suite gives elsewhere or does not have."""


def check_name(name: str) -> None:
    """Raise :class:`UserError` unless a name can be that of a folder."""
    if not re.fullmatch(r"[^/\\.\s]([^/\\]*[^/\\\s])?", name):
        raise UserError("a name becomes a folder's: no slash, no leading dot, no space at an end")


def check_adapt(changes: dict[str, Any]) -> None:
    """Raise :class:`UserError` for an unknown key or a value of another type or sign."""
    known = [field.name for field in fields(AdaptSettings) if field.name not in OWN]
    for key, value in changes.items():
        if key not in known:
            raise UserError(f"unknown key {f'adapt.{key}'!r}; {nearest(key, known)}")
        try:
            TypeAdapter(AdaptSettings).validate_python({key: value}, strict=False)
        except ValidationError as error:
            why = error.errors()[0]["msg"].lower()
            raise UserError(f"adapt.{key}: {why} (got {value!r})") from None
        if isinstance(value, int | float) and not isinstance(value, bool) and value <= 0:
            raise UserError(f"adapt.{key}: must be above 0 (got {value!r})")
