"""Text files line by line, compressed or not, with the place of every byte that is no text."""

from __future__ import annotations

import bz2
import codecs
import gzip
import lzma
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from typing import Any

import pyarrow as pa

from onetrunk.data.formats.table import Stream, Table, blocks
from onetrunk.errors import UserError

LINE_LIMIT = 64 * 2**20
"""Characters of a line, a quoted field or a JSON value; more is a file of another kind."""

_CHUNK = 2**20
_BINARY = (".parquet", ".arrow", ".spacy")

COMPRESSED: dict[str, Callable[[Path], Any]] = {
    ".gz": gzip.GzipFile,
    ".bz2": bz2.BZ2File,
    ".xz": lzma.LZMAFile,
    # Unlike the zstandard package, Arrow says so when the file was cut off.
    ".zst": lambda file: pa.input_stream(str(file), compression="zstd"),
}


def suffix_of(file: Path) -> str:
    """The suffix that names the format, in lower case: ``.jsonl`` of ``A.JSONL``, ``a.jsonl.gz``.

    Only text is read compressed, so of ``a.parquet.gz`` it is ``.parquet.gz``.
    """
    suffix, inner = file.suffix.lower(), Path(file.stem).suffix.lower()
    if suffix not in COMPRESSED:
        return suffix
    return inner + suffix if inner in _BINARY else inner or suffix


def stem_of(file: Path) -> str:
    """The name without the suffix, and without that of the compression."""
    return Path(file.stem).stem if file.suffix.lower() in COMPRESSED else file.stem


@contextmanager
def open_text(file: Path) -> Iterator[TextIOWrapper]:
    """Open for reading characters, line ends kept and a byte order mark left out.

    Raises UserError if the file cannot be read or unpacked and, in the block, for bytes that are
    not UTF-8.
    """
    try:
        with _open_bytes(file) as raw:
            yield TextIOWrapper(raw, encoding="utf-8-sig", newline="")
    except UnicodeDecodeError:
        # It counts from the start of some buffer: find the line by reading once more.
        raise _not_utf8(file) from None
    except (OSError, EOFError, zlib.error, lzma.LZMAError, pa.ArrowException) as error:
        raise _unreadable(file, error) from None


def lines(file: Path, keep_ends: bool = False) -> Iterator[str]:
    """The lines of a text file, one at a time.

    Raises UserError as :func:`open_text` does, for a NUL byte and for an endless line.
    """
    number = 0
    # Not splitlines(): it also splits at characters such as U+2028 that a text may hold.
    with open_text(file) as stream:
        while line := stream.readline(LINE_LIMIT + 1):
            number += 1
            if len(line) > LINE_LIMIT:
                raise UserError(
                    f"{file}:{number}: the line is longer than {LINE_LIMIT:,} characters; "
                    "write one row a line"
                )
            if "\0" in line:
                raise nul_byte(file, number)
            yield line if keep_ends else line.rstrip("\r\n")


def plain(file: Path) -> Stream:
    """A text a line as the column ``text``; a blank line is an empty text."""

    def read(names: object, optional: object) -> Iterator[Table]:
        for block in blocks(enumerate(lines(file), 1)):
            numbers, texts = map(list, zip(*block, strict=True))
            yield Table(str(file), {"text": texts}, numbers, in_lines=True)

    return Stream(str(file), ["text"], read)


def nul_byte(file: Path, number: int) -> UserError:
    """The error for a file that is not text."""
    return UserError(
        f"{file}:{number}: a NUL byte: the file looks like UTF-16 or binary data, not UTF-8 text"
    )


def _open_bytes(file: Path) -> Any:
    return COMPRESSED.get(file.suffix.lower(), lambda plain: plain.open("rb"))(file)


def _unreadable(file: Path, error: Exception) -> UserError:
    why = getattr(error, "strerror", None) or (str(error).splitlines() or [type(error).__name__])[0]
    verb = "unpacked" if file.suffix.lower() in COMPRESSED else "read"
    return UserError(f"{file} cannot be {verb}: {why}")


def _not_utf8(file: Path) -> UserError:
    """The error that names the line and the offset of the first byte that is not UTF-8."""
    line, offset, held, after_cr = 1, 0, b"", False
    with _open_bytes(file) as raw:
        while True:
            data = raw.read(_CHUNK)
            chunk = held + data
            bad = None
            try:
                text, used = codecs.utf_8_decode(chunk, "strict", not data)
            except UnicodeDecodeError as error:
                bad, text = error.start, chunk[: error.start].decode()
            text, nul, _ = text.partition("\0")
            line += text.count("\n") + text.count("\r") - text.count("\r\n")
            line -= after_cr and text.startswith("\n")
            if nul or (bad is not None and b"\0" in chunk[bad : bad + 4]):
                return nul_byte(file, line)
            if bad is not None:
                why = f"byte 0x{chunk[bad]:02x} at offset {offset + bad} is not valid UTF-8"
                return UserError(f"{file}:{line}: {why}")
            after_cr = text.endswith("\r") or (after_cr and not text)
            held, offset = chunk[used:], offset + used
