"""What a file holds, by its first bytes: a file of another format than its name says is refused."""

from pathlib import Path

from onetrunk.data.formats.text import COMPRESSED, suffix_of
from onetrunk.errors import UserError

_MAGIC = {b"PAR1": ".parquet", b"ARROW1": ".arrow", b"PK\3\4": ".xlsx", b"\x1f\x8b": ".gz"}
_NAMES = {
    ".parquet": "Parquet",
    ".arrow": "Arrow",
    ".xlsx": "an Excel workbook",
    ".gz": "compressed text",
    ".json": "one JSON array",
    ".jsonl": "JSON Lines",
}
_HEAD = 4096
"""So many bytes show it."""
_CONTROL = bytes({*range(32)} - {*b"\t\n\f\r\x1a\x1b"})


def check_content(file: Path) -> None:
    """Raise UserError for a file that surely holds another format than its suffix says."""
    suffix, packed = suffix_of(file), file.suffix.lower() in COMPRESSED
    if packed or suffix == ".spacy":
        return  # a file that cannot be unpacked is named by its reader
    with file.open("rb") as stream:
        head = stream.read(_HEAD)
    found = next((kind for magic, kind in _MAGIC.items() if head.startswith(magic)), "")
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not found and suffix in (".parquet", ".xlsx"):
        if head.translate(None, _CONTROL) == head and head.decode("utf-8", "ignore"):
            found = _of_json(text)
            is_text = f"{file} holds text, not {_NAMES[suffix]}"
            ending = found or ".csv, .tsv or .txt"
            raise UserError(f"{is_text}: rename it, so that it ends in {ending}")
    elif not found and suffix in (".csv", ".tsv", ".jsonl"):
        found = _of_json(text)
    elif not found and suffix == ".json" and text and text[:1] not in b"[{":
        raise _no_json(file, text)
    if suffix == ".jsonl" and not found and _has_no_json(text):
        raise _no_json(file, text)
    if found and found != suffix:
        name = f"{file.name}.gz" if found == ".gz" else file.with_suffix(found).name
        raise UserError(
            f"{file} holds {_NAMES[found]}, not what {suffix!r} says: rename it to {name}"
        )


def _of_json(text: bytes) -> str:
    """The suffix of a file that begins as JSON does; empty for any other."""
    if text.startswith(b"["):
        return ".json" if text[1:].lstrip()[:1] in (b"{", b"[") else ""
    return ".jsonl" if text.startswith(b"{") and text[1:].lstrip()[:1] == b'"' else ""


def _has_no_json(text: bytes) -> bool:
    """Whether there are several lines, and none begins as an object or an array does."""
    lines = [line for line in text.splitlines() if line.strip()]
    return len(lines) > 1 and not any(line.lstrip()[:1] in (b"{", b"[") for line in lines)


def _no_json(file: Path, text: bytes) -> UserError:
    first = text.splitlines()[0].decode("utf-8", "replace")
    return UserError(
        f"{file} holds no JSON: its first line is {first!r:.60}; a table is named .csv or .tsv"
    )
