"""The words of the corpus, read from the YAML files under ``templates/`` (notation: its README)."""

from importlib.resources import files
from typing import Any

from onetrunk.yaml_files import yaml_value

SPLITS = ("train", "validation", "test")
SOURCES = ("paraphrase", "subject_body", "reply", "command")
NER_APPS = ("calendar", "contact")
TC_APPS = ("intent", "spam")


def read_text(name: str) -> str:
    """Return a file of this package as text, wherever the package is installed."""
    return files("onetrunk.demo").joinpath(name).read_text(encoding="utf-8")


def _yaml(name: str) -> Any:
    name = f"templates/{name}.yaml"
    return yaml_value(read_text(name), name)


def _lines(blocks: dict[str, str], *keys: str) -> dict[str, tuple[str, ...]]:
    """Split blocks of text into templates, one a line."""
    return {key: tuple(blocks[key].splitlines()) for key in keys}


_values, _frames, _weak = _yaml("values"), _yaml("frames"), _yaml("pre_ner")
_ner = {app: _yaml(f"ner/{app}") for app in NER_APPS}

VALUES: dict[str, list[str]] = _values["lists"]
"""Closed lists, ``VALUES[kind]``."""

PATTERNS: dict[str, list[str]] = _values["patterns"]
"""What numbers of a kind look like, ``PATTERNS[kind]``: ``#`` is a digit, ``?`` a letter."""

FORMATS: dict[str, list[str]] = _values["formats"]
"""Spellings of values that are made of parts, with the parts in braces, ``FORMATS[kind]``."""

FRAMES = {place: _lines(parts, "train", "held") for place, parts in _frames.items()}
"""What may surround a text, ``FRAMES["openings"]["train"]``; "held" is for validation and test."""

SHORTHAND: dict[str, str] = _yaml("shorthand")
"""Short forms of words, as people type them."""

CONCEPTS = {"pre_ner": _weak["concepts"], **{app: _ner[app]["concepts"] for app in NER_APPS}}
"""What a kind of slot is tagged as, in the weak data and in each NER app: ``CONCEPTS[part]``."""

WEAK_NER = _lines(_weak, "train")["train"]
"""Templates of the weak NER data."""

PAIRS = {
    source: [tuple(group.splitlines()) for group in _yaml(f"pre_pairs/{source}")]
    for source in SOURCES
}
"""Groups of templates, ``PAIRS[source]``."""

NER = {app: _lines(_ner[app], *SPLITS) for app in NER_APPS}
"""Templates of the NER apps, ``NER[app][split]``."""

TC = {
    app: {label: _lines(blocks, *SPLITS) for label, blocks in _yaml(f"tc/{app}").items()}
    for app in TC_APPS
}
"""Templates of the text classification apps, ``TC[app][label][split]``."""
