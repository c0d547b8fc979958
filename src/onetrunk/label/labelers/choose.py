"""From what the user asks for (``spacy:NAME``, ``chat:MODEL``, …) to a labeler."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from onetrunk.errors import UserError, nearest
from onetrunk.label.base import Labeler
from onetrunk.label.labelers.endpoint import Endpoint

KINDS = ("spacy", "gliner", "chat", "gazetteer", "regex")


@dataclass(frozen=True)
class Options:
    """What a labeler may need beyond its name: ``types`` and ``threshold`` for GLiNER,
    ``match_case`` for a gazetteer, the others for a chat endpoint."""

    cache: Path
    types: Sequence[str] = ()
    threshold: float = 0.5
    match_case: bool = False
    endpoint: Endpoint | None = None
    temperature: float = 0.0


def split_spec(spec: str, kinds: Sequence[str] = KINDS) -> tuple[str, str]:
    """``kind:rest`` as two strings; raises UserError for an unknown kind."""
    kind, _, rest = spec.partition(":")
    if kind not in kinds:
        raise UserError(f"unknown labeler {spec!r}; {nearest(kind, kinds)}")
    return kind, rest


def open_labeler(spec: str, options: Options) -> Labeler:
    """Load the labeler that ``spec`` names.

    Raises UserError for an unknown kind, a missing name or option, and whatever the labeler itself
    cannot open.
    """
    kind, name = split_spec(spec)
    if kind == "spacy":
        from onetrunk.label.labelers.spacy_pipeline import DEFAULT, SpacyLabeler

        return SpacyLabeler(name or DEFAULT)
    if not name:
        wanted = {"gliner": "gliner:NAME_OR_FOLDER", "chat": "chat:MODEL"}.get(kind, f"{kind}:FILE")
        raise UserError(f"labeler {spec!r} names nothing; write {wanted}")
    if kind == "gliner":
        from onetrunk.label.labelers.gliner_model import GlinerLabeler

        if not options.types:
            raise UserError('GLiNER has to be told what to look for: pass --types "person,place"')
        return GlinerLabeler(name, options.types, options.threshold)
    if kind == "chat":
        return _chat(name, options)
    if kind == "gazetteer":
        from onetrunk.label.labelers.gazetteer import GazetteerLabeler

        return GazetteerLabeler(name, options.match_case)
    from onetrunk.label.labelers.patterns import RegexLabeler

    return RegexLabeler(name)


def _chat(model: str, options: Options) -> Labeler:
    from onetrunk.label.labelers.cache import AnswerCache
    from onetrunk.label.labelers.chat import ChatLabeler

    if options.endpoint is None:
        raise UserError("chat needs --endpoint, such as http://localhost:8000/v1")
    return ChatLabeler(model, options.endpoint, AnswerCache(options.cache), options.temperature)
