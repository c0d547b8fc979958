"""What a file holds, by its first bytes: a file of another format than its name says is refused."""

import codecs
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
    suffix = suffix_of(file)
    if file.suffix.lower() in COMPRESSED or suffix == ".spacy":
        return  # what cannot be unpacked is told by its reader
    with file.open("rb") as stream:
        head = stream.read(_HEAD)
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not _is_text(text):
        found = next((kind for magic, kind in _MAGIC.items() if head.startswith(magic)), "")
    else:
        found = _of_json(text)
        if text.startswith(b"version https://git-lfs"):
            what = "is a pointer of Git LFS, which stands for a file that was not downloaded"
            raise UserError(f"{file} {what}: run 'git lfs pull'")
        if suffix in (".parquet", ".xlsx"):
            what = f"{file} holds text, not {_NAMES[suffix]}"
            raise UserError(f"{what}: rename it to end in {found or '.csv, .tsv or .txt'}")
        if suffix in (".json", ".jsonl") and not found and _has_no_json(text):
            first = text.splitlines()[0].decode("utf-8", "replace")
            what = f"{file} holds no JSON: its first line is {first!r:.60}"
            raise UserError(f"{what}; rename it to end in .csv, .tsv or .txt")
    is_wrong = found and found != suffix
    if is_wrong and (found not in (".json", ".jsonl") or suffix in (".csv", ".tsv", ".jsonl")):
        name = f"{file.name}.gz" if found == ".gz" else file.with_suffix(found).name
        raise UserError(
            f"{file} holds {_NAMES[found]}, not what {suffix!r} says: rename it to {name}"
        )


def _is_text(head: bytes) -> bool:
    """Whether these are the first bytes of a text in UTF-8; the last character may be cut."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return head.translate(None, _CONTROL) == head


def _of_json(text: bytes) -> str:
    """The suffix of a file that begins as JSON does; empty for any other."""
    if text.startswith(b"["):
        return ".json" if text[1:].lstrip()[:1] in (b"{", b"[") else ""
    return ".jsonl" if text.startswith(b"{") and text[1:].lstrip()[:1] == b'"' else ""


def _has_no_json(text: bytes) -> bool:
    """Whether there are several lines, and none begins as an object or an array does."""
    lines = [line for line in text.splitlines() if line.strip()]
    return len(lines) > 1 and not any(line.lstrip()[:1] in (b"{", b"[") for line in lines)
