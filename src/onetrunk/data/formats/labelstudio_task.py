"""One task of Label Studio: its text, and what the result of an annotator says of it."""

import re
from collections.abc import Callable, Collection, Sequence
from typing import Any

from onetrunk.data.formats.annotations import as_counted
from onetrunk.data.formats.table import show, wrong
from onetrunk.data.notes import Notes
from onetrunk.data.numbers import is_whole
from onetrunk.errors import UserError

MARKS = ("spans", "choices", "ratings")
LABELS = ("labels", "hypertextlabels", "paragraphlabels")
CHOICES = ("choices", "taxonomy")
_RATINGS = ("rating", "number")
_TAG = re.compile("<[a-zA-Z/!][^>]*>")
_FILES = (
    "png|jpe?g|gif|webp|bmp|svg|tiff?|pdf|txt|html?|docx?|odt|rtf|pptx?|xlsx?|csv|tsv|jsonl?|xml"
    "|eml|md|wav|mp[34]|ogg|flac|m4a"
)
_ADDRESS = re.compile(
    r"(?i)(?:[a-z][a-z0-9+.-]*://|data:\w+/|/data/(?:upload|local-files)\b|[a-z]:[\\/])\S*"
    rf"|(?:(?:/data/|[a-z][a-z0-9+.-]*://|[a-z]:[\\/]).*|\S+)\.(?:{_FILES})"
)
_UNDEFINED = "$undefined$"
"""What the tool writes where a task has no text."""


def is_address(text: str) -> bool:
    """Whether a text is only the address of a file or a page, as tools write for what they load."""
    return _ADDRESS.fullmatch(text.strip()) is not None


def mark_of(item: dict[str, Any]) -> str:
    """What an item of a result is read as, if it is."""
    value = item.get("value")
    if not isinstance(value, dict):
        return ""
    if "start" in value:
        return "spans"
    return "choices" if {*CHOICES} & {*value} else "ratings" if {*_RATINGS} & {*value} else ""


def of_text(
    result: list[dict[str, Any]], key: str, data: dict[str, Any], marks: Collection[str],
    where: str, notes: Notes,
) -> list[dict[str, Any]]:  # fmt: skip
    """Leave out what annotates something else of the task than its text."""
    kept = []
    for item in result:
        name = item.get("to_name")
        if name == key or not isinstance(name, str) or name not in data:
            kept.append(item)
        elif mark_of(item) in marks:
            notes.add(f"annotations of {name!r}, where {key!r} is read, left out", where)
    return kept


def text_of(
    data: Any, where: str, notes: Notes, meant: Callable[[], Collection[str]] = tuple,
    annotated: bool = True,
) -> tuple[str, list[str]]:  # fmt: skip
    """Return the key and the text of a task; a dialogue has several paragraphs.

    ``meant`` gives what the annotations of the source are of, which decides between several.
    """
    if not isinstance(data, dict):
        raise wrong(where, "'data'", data, "an object")
    texts: dict[str, list[str]] = {}
    addresses = {}
    for key, value in data.items():
        match value:
            case str() if is_address(value):
                addresses[key] = value
            case str() if value != _UNDEFINED:
                texts[key] = [value]
            case [dict(), *_] if all(
                isinstance(line, dict) and isinstance(line.get("text"), str) for line in value
            ):
                texts[key] = [line["text"] for line in value]
    names = meant() if len(texts) + len(addresses) > 1 else ()
    named = [key for key in texts if key in names]
    if len(named) > 1 and annotated:
        listed = " and ".join(map(repr, named))
        raise UserError(f"{where}: the annotations are of {listed}; keep those of one of them")
    if len(named) == 1:
        return named[0], texts[named[0]]
    seen = [key for key in addresses if key in names and annotated]
    if seen or "text" in addresses or (addresses and not texts):
        key = [*seen, *(["text"] if "text" in addresses else addresses)][0]
        why = "is an address, not text; put the text itself into the task"
        raise UserError(f"{where}: {key!r} {why}: {show(addresses[key])}")
    if "text" in texts:
        beside = [key for key, parts in texts.items() if parts != texts["text"]]
        if others := [key for key in beside if _has_words(texts[key])]:
            listed = ", ".join(map(repr, ["text", *others]))
            notes.add(f"tasks with several texts ({listed}), of which 'text' is read", where)
        return "text", texts["text"]
    if len(texts) != 1:
        keys = " and ".join(map(repr, texts)) or "no text"
        raise UserError(f"{where}: 'data' has {keys}; call the one to read 'text'")
    ((key, paragraphs),) = texts.items()
    if addresses:  # which may be what was annotated
        listed = ", ".join(map(repr, addresses))
        notes.add(f"tasks with an address in {listed}, of which {key!r} is read as the text", where)
    return key, paragraphs


def _has_words(parts: Sequence[str]) -> bool:
    """Whether this may be a text, and no id, source or date."""
    return len(parts) > 1 or len([word for word in parts[0].split() if word.isalpha()]) > 1


def counted_paragraphs(
    paragraphs: list[str], result: list[dict[str, Any]], where: str, notes: Notes
) -> list[str]:
    """Return the paragraphs of a text with the line ends that the regions of a result count."""
    regions = [
        (*place, value["text"].replace("\\n", "\n"))
        for item in result
        if isinstance(value := item.get("value"), dict) and isinstance(value.get("text"), str)
        if (place := _place(value, paragraphs)) is not None
    ]
    text = "\n".join(paragraphs)
    if as_counted(text, regions, where, notes) == text:
        return paragraphs
    return [paragraph.replace("\r\n", "\n") for paragraph in paragraphs]


def read_result(
    result: list[dict[str, Any]], paragraphs: list[str], where: str, notes: Notes,
    marks: Collection[str],
) -> tuple[list[dict[str, Any]], list[Any], list[Any]]:  # fmt: skip
    """Return the spans of a result, its choices and its ratings; ``notes`` counts what is none."""
    spans, choices, questions = [], [], set()
    ratings = []
    for item in result:
        value = item.get("value", {})
        if not isinstance(value, dict):
            raise wrong(where, "'value'", value, "an object")
        picked = value.get("choices")
        if not isinstance(picked, list | None):
            raise wrong(where, "'choices'", picked, "a list of strings")
        if isinstance(paths := value.get("taxonomy"), list):
            picked = [
                "/".join(map(str, path)) if isinstance(path, list) else path for path in paths
            ]
        labels = next((value[name] for name in LABELS if value.get(name)), None)
        rating = next((value[name] for name in _RATINGS if name in value), None)
        if rating is not None and "ratings" in marks and "start" not in value:
            ratings.append(rating)
            continue
        kind = item.get("type") or next((key for key in value if isinstance(value[key], list)), "?")
        if picked is not None and "start" not in value:
            choices += picked
            questions.add(str(item.get("from_name")))
        elif picked is not None:
            notes.add("choices for a region, not for the text, left out", where)
        elif labels is None and ("start" not in value or value.get(str(kind))):
            notes.add(f"annotations of the type {kind!r}, which are not read", where)
        elif (place := _place(value, paragraphs)) is None:
            notes.add("regions that have no place in a text, left out", where)
        elif labels is None:
            notes.add("regions without a label, left out", where)
        else:
            start, end = place
            repeats = value.get("text")
            text = "\n".join(paragraphs)
            if isinstance(repeats, str) and "\\n" not in text:  # the tool writes line ends so
                repeats = repeats.replace("\\n", "\n")
            if "hypertextlabels" in value and repeats != text[start:end] and _TAG.search(text):
                why = "the text is HTML, and its regions count without the tags; write plain text"
                raise UserError(f"{where}: {why}")
            spans.append({"start": start, "end": end, "labels": labels, "text": repeats})
    if len(questions) > 1:
        names = ", ".join(sorted(questions))
        notes.add(f"tasks with choices for several questions ({names}), read together", where)
    return spans, choices, ratings


def _place(value: dict[str, Any], paragraphs: list[str]) -> tuple[int, int] | None:
    """Return the offsets of a region in the joined paragraphs, or None if it has none."""
    in_paragraphs = all(
        isinstance(value.get(edge), str) and is_whole(value[edge]) for edge in ("start", "end")
    )
    match value:
        case {"channel": _}:  # seconds of a recording
            return None
        case {"start": int() as start, "end": int() as end} | {
            "globalOffsets": {"start": int() as start, "end": int() as end}
        } if not in_paragraphs:
            return start, end
        case {"start": str(), "startOffset": int() as start, "endOffset": int() as end}:
            if in_paragraphs:
                first, last = int(value["start"]), int(value["end"])
                if max(first, last) >= len(paragraphs):
                    return None
                begins = [sum(len(text) + 1 for text in paragraphs[:at]) for at in (first, last)]
                return begins[0] + start, begins[1] + end
            # An XPath: without the region's text, nothing shows which part of the text it means.
            if value["start"] == value.get("end") and isinstance(value.get("text"), str):
                return start, end
    return None
