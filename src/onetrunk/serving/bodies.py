"""What requests and answers hold; the OpenAPI description is made of these."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from onetrunk.errors import nearest
from onetrunk.interface import Score

_KINDS = {list: "a list", str: "a string", bool: "true or false", type(None): "null"}
_KINDS |= dict.fromkeys((int, float), "a number")


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Texts(_Body):
    """Texts to embed."""

    texts: list[str] = Field(examples=[["book a table in Oslo for Friday"]])


class Question(Texts):
    """Texts, and the apps that are to read them."""

    apps: list[str] | None = Field(
        None, description="Names of apps. Absent or null: all apps. An empty list: none."
    )


class Lesson(_Body):
    """Labelled examples of a new app."""

    family: str = Field(description="The task family: ner, tc, multi-label, …")
    examples: list[dict[str, Any] | tuple[str, Any]] = Field(
        description="Rows as objects, as in JSON Lines for adapt; or pairs of text and label."
    )
    labels: list[str] = Field([], description="Labels that no example has yet.")
    start: str | None = Field(None, description="An app to go on from, which a few rows improve.")
    stay: list[str] = Field([], description="With start: texts whose answers are to stay.")
    keep: bool = Field(False, description="Whether the bundle on disk gets the app, too.")
    overwrite: bool = Field(
        False,
        description="Whether an app of this name, if there is one, is replaced. Without it that is "
        "answered by 409, unless `start` names this app.",
    )


class Results(BaseModel):
    """For each text, the answer of each app."""

    results: list[dict[str, Any]]


class Embeddings(BaseModel):
    """For each text, ``dimensions`` numbers."""

    embeddings: list[list[float]]
    dimensions: int


class Listing(BaseModel):
    """The apps that are served, and what one request may hold."""

    apps: list[dict[str, Any]]
    limits: dict[str, int]


class Changed(BaseModel):
    """The app that was added, replaced or taught."""

    name: str
    kept: bool = Field(description="Whether the bundle on disk has it, too.")
    score: Score | None = Field(None, description="How good an app is that was taught.")
    notes: list[str] = Field([], description="What is odd about the rows, such as new labels.")


class Fault(BaseModel):
    """Why a request was not answered."""

    error: str


def is_json(content_type: str) -> bool:
    """Whether this header is that of JSON."""
    kind = content_type.partition(";")[0].strip().lower()
    return kind == "application/json" or bool(re.fullmatch(r"application/\S+\+json", kind))


def one_line(fault: Mapping[str, Any], known: Sequence[str]) -> str:
    """A fault that pydantic found in a body, as a user reads it; ``known`` are its valid keys."""
    place = [*fault["loc"][1:]]
    kind = fault["type"]
    if kind == "json_invalid":
        return f"the body is not JSON: {fault['ctx']['error']} at character {fault['loc'][1]}"
    if not place:
        if kind == "missing":
            return "the body is empty: it must be a JSON object"
        given = _KINDS.get(type(fault.get("input")), "something else")
        return f"the body must be a JSON object, not {given}"
    key = str(place[0])
    if kind == "extra_forbidden":
        return f"{key[:60]!r} is unknown; {nearest(key[:60], known)}"
    if kind == "missing":
        return f"the body has no {key!r}"
    is_item = len(place) > 1 and type(place[1]) is int
    where = f"{key}: item {place[1]} (counted from 0)" if is_item else key
    return f"{where}: {fault['msg'][0].lower()}{fault['msg'][1:]}"
