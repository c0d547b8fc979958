"""The labelers, and how a user names one: ``spacy:NAME``, ``chat:MODEL``, ``regex:FILE``, ..."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from onetrunk.errors import UserError, nearest
from onetrunk.label.base import Labeler

if TYPE_CHECKING:
    from onetrunk.label.labelers.endpoint import Endpoint

KINDS = ("spacy", "gliner", "chat", "gazetteer", "regex")
_NAMES = {"gliner": "NAME_OR_FOLDER", "chat": "MODEL", "gazetteer": "FILE", "regex": "FILE"}


def split_spec(spec: str, kinds: Sequence[str] = KINDS) -> tuple[str, str]:
    """Split ``kind:name``. Raises UserError for an unknown kind."""
    kind, _, name = spec.partition(":")
    if kind not in kinds:
        raise UserError(f"unknown labeler {spec!r}; {nearest(kind, kinds)}")
    return kind, name


def open_labeler(
    spec: str,
    *,
    cache: Path,
    types: Sequence[str] = (),
    threshold: float = 0.5,
    match_case: bool = False,
    endpoint: Endpoint | None = None,
    temperature: float = 0.0,
) -> Labeler:
    """Load the labeler that ``spec`` names.

    GLiNER uses ``types`` and ``threshold``, a gazetteer ``match_case``, and a chat model
    ``endpoint``, ``temperature`` and the file ``cache``.

    Raises UserError for an unknown kind, a missing name or option, and a labeler that cannot be
    loaded.
    """
    kind, name = split_spec(spec)
    if kind == "spacy":
        from onetrunk.label.labelers.spacy_pipeline import DEFAULT, SpacyLabeler

        return SpacyLabeler(name or DEFAULT)
    if not name:
        raise UserError(f"labeler {spec!r} names nothing; write {kind}:{_NAMES[kind]}")
    if kind == "gliner":
        from onetrunk.label.labelers.gliner_model import GlinerLabeler

        if not types:
            raise UserError('GLiNER has to be told what to look for: pass --types "person,place"')
        return GlinerLabeler(name, types, threshold)
    if kind == "chat":
        from onetrunk.label.labelers.cache import AnswerCache
        from onetrunk.label.labelers.chat import ChatLabeler

        if endpoint is None:
            raise UserError("chat needs --endpoint, such as http://localhost:8000/v1")
        return ChatLabeler(name, endpoint, AnswerCache(cache), temperature)
    from onetrunk.label.labelers.lists import GazetteerLabeler, RegexLabeler

    return GazetteerLabeler(name, match_case) if kind == "gazetteer" else RegexLabeler(name)
