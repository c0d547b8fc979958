"""Text files, compressed or not, line by line; bytes that are not UTF-8 are named by place."""

import bz2
import gzip
import io
import lzma
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from typing import Any

from onetrunk.data.formats.table import Stream, Table, blocks, reason
from onetrunk.errors import UserError

LINE_LIMIT = 64 * 2**20
"""Maximal characters of a line or a quoted field; a longer one shows a file of another kind."""

MARK = "\ufeff"
"""The byte order mark. Files that were joined have it at the start of later lines, too."""
DOS_END = "\x1a"
"""Ctrl-Z."""
_NO_TEXT = re.compile("[\0\udc80-\udcff]")
UTF8 = "utf-8-sig"
SAMPLE = 2**20
"""So many bytes show in which encoding a file is."""
_SEQUENCE = re.compile(
    rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}"
)
"""A character beyond ASCII in UTF-8."""
_UNDEFINED = {0x81, 0x8D, 0x8F, 0x90, 0x9D}
"""Bytes that Windows-1252 does not have."""
_LETTERS = re.compile(rb"(?=[\xa1-\xbf]*[\xc0-\xff])[\xa1-\xff]{4,}")
"""Letters beyond ASCII in a row: rare in the languages that are written in Windows-1252, and every
word in other scripts, which have encodings of their own."""
_FAULTS = (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError)
"""What reading and unpacking raise."""
UNPACKED, RATIO = 2**30, 300
"""A compressed file may hold more bytes than the first, and more times its own size than the
second, but not both: no text is as regular as that, and files are made that would never end."""
_BINARY = (".parquet", ".arrow", ".spacy", ".xlsx")


def _open_zstd(file: Path, mode: str) -> Any:
    # Unlike the zstandard package, Arrow reports a file that was cut off. It takes long to import.
    import pyarrow as pa

    return pa.input_stream(str(file), compression="zstd")


COMPRESSED: dict[str, Callable[[Path, str], Any]] = {
    ".gz": gzip.open,
    ".bz2": bz2.open,
    ".xz": lzma.open,
    ".zst": _open_zstd,
}
"""The suffixes of compressed files, and functions that open them."""


def suffix_of(file: Path) -> str:
    """Return the suffix of the format in lower case: ``.jsonl`` of ``A.JSONL`` and ``a.jsonl.gz``.

    Only text can be compressed, so ``a.parquet.gz`` has the unknown suffix ``.parquet.gz``.
    """
    suffix, inner = file.suffix.lower(), Path(file.stem).suffix.lower()
    if suffix not in COMPRESSED:
        return suffix
    return inner + suffix if inner in _BINARY else inner or suffix


def stem_of(file: Path) -> str:
    """Return the name of a file without its suffix and without that of the compression."""
    return Path(file.stem).stem if file.suffix.lower() in COMPRESSED else file.stem


def encoding_of(file: Path) -> str:
    """UTF-8; UTF-16 if the file begins with its byte order mark; or Windows-1252, for CSV alone.

    Excel writes CSV in Windows-1252. A file is taken for that only if no character beyond ASCII is
    valid UTF-8: so a single broken byte in UTF-8 is still an error. And most such characters stand
    beside ASCII letters: Cyrillic, Greek or Arabic in one of the older encodings is an error, too.
    """
    with _open_bytes(file) as raw:
        start = raw.read(2)
        if start in (b"\xff\xfe", b"\xfe\xff"):
            return "UTF-16"
        if suffix_of(file) not in (".csv", ".tsv"):
            return UTF8
        content = start + raw.read(SAMPLE)
    if content.isascii() or _SEQUENCE.search(content) or set(content) & _UNDEFINED:
        return UTF8
    in_a_row = sum(map(len, _LETTERS.findall(content)))
    return UTF8 if 2 * in_a_row > sum(byte > 0xA0 for byte in content) else "Windows-1252"


@contextmanager
def open_text(file: Path, errors: str = "strict") -> Iterator[TextIOWrapper]:
    """Open a file for reading characters; line ends are kept, and a byte order mark is left out.

    Raises UserError if the file cannot be read or unpacked and, in the block, for bytes that are
    not of the encoding.
    """
    encoding = UTF8
    try:
        encoding = encoding_of(file)
        with _open_bytes(file) as raw:
            yield TextIOWrapper(raw, encoding=encoding, errors=errors, newline="")
    except UnicodeError as error:
        if encoding != UTF8:
            raise UserError(f"{file} is not valid {encoding}: {reason(error)}") from None
        # The error counts from the start of a buffer: reading once more finds the line.
        try:
            raise _not_utf8(file) from None
        except _FAULTS as damage:  # further on, where the first reading did not come
            raise _unreadable(file, damage) from None
    except _FAULTS as error:
        raise _unreadable(file, error) from None


def lines(file: Path, keep_ends: bool = False, errors: str = "strict") -> Iterator[str]:
    """Yield the lines of a text file, without byte order marks at their starts. With ``keep_ends``
    all characters of the file are kept, but for a mark at its very start. A Ctrl-Z at its very end,
    which was the end of a file in DOS, is left out.

    Raises UserError as :func:`open_text` does, and for a NUL byte or an endless line.
    """
    number = 0
    # splitlines() would also split at characters such as U+2028, which a text may contain.
    with open_text(file, errors) as stream:
        following = ""
        while line := following or stream.readline(LINE_LIMIT + 1):
            number += 1
            following = stream.readline(LINE_LIMIT + 1) if line[-1] == DOS_END else ""
            if line[-1] == DOS_END and not following:
                line = line.rstrip(DOS_END)
            if not line:
                return
            if len(line) > LINE_LIMIT:
                raise UserError(
                    f"{file}:{number}: the line is longer than {LINE_LIMIT:,} characters; "
                    "write one row a line"
                )
            if "\0" in line:
                raise nul_byte(file, number)
            yield line if keep_ends else line.rstrip("\r\n").lstrip(MARK)


def lines_or_faults(file: Path) -> Iterator[tuple[int, str | UserError]]:
    """Yield the numbered lines of a text file; a line that is not UTF-8 becomes its error."""
    return checked_lines(enumerate(lines(file, errors="surrogateescape"), 1), str(file))


def checked_lines(
    numbered: Iterable[tuple[int, str]], source: str
) -> Iterator[tuple[int, str | UserError]]:
    """Yield numbered lines, decoded with ``surrogateescape``; one that is not text becomes its
    error."""
    for number, line in numbered:
        if match := _NO_TEXT.search(line):
            at = f"at offset {len(line[: match.start()].encode())} of the line"
            where = f"{source}:{number}:"
            if match[0] == "\0":
                yield number, UserError(f"{where} a NUL byte {at}")
            else:
                byte = f"byte 0x{ord(match[0]) - 0xDC00:02x}"
                yield number, UserError(f"{where} {byte} {at} is not valid UTF-8; save it as UTF-8")
        else:
            yield number, line


def plain(file: Path, keep_faults: bool = False) -> Stream:
    """Return the lines of a file as the column ``text``; a blank line is an empty text."""

    def read(names: object, optional: object) -> Iterator[Table]:
        numbered = lines_or_faults(file) if keep_faults else enumerate(lines(file), 1)
        for block in blocks(numbered):
            numbers, texts = map(list, zip(*block, strict=True))
            yield Table(str(file), {"text": texts}, numbers, in_lines=True)

    return Stream(str(file), ["text"], read)


def nul_byte(file: Path | str, number: int) -> UserError:
    """Return the error for a file that is not text."""
    return UserError(
        f"{file}:{number}: a NUL byte: the file looks like UTF-16 or binary data, not UTF-8 text"
    )


def _open_bytes(file: Path) -> Any:
    if (opened := COMPRESSED.get(file.suffix.lower())) is None:
        return file.open("rb")
    return io.BufferedReader(_Bounded(opened(file, "rb"), RATIO * file.stat().st_size))


class _Bounded(io.RawIOBase):
    """A stream of bytes that ends with an OSError where no text would be so long."""

    def __init__(self, stream: Any, most: int) -> None:
        self._stream, self._left = stream, max(most, UNPACKED)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        content = self._stream.read(len(buffer))
        self._left -= len(content)
        if self._left < 0:
            raise OSError(f"more than {UNPACKED:,} bytes, and more than {RATIO} times its own size")
        buffer[: len(content)] = content
        return len(content)

    def close(self) -> None:
        self._stream.close()
        super().close()


def _unreadable(file: Path, error: Exception) -> UserError:
    why = getattr(error, "strerror", None) or reason(error)
    verb = "unpacked" if file.suffix.lower() in COMPRESSED else "read"
    return UserError(f"{file} cannot be {verb}: {why}")


def _not_utf8(file: Path) -> UserError:
    """Return the error that names the line and the offset of the first byte that is not UTF-8."""
    number, offset = 1, 0
    with _open_bytes(file) as raw:
        # Here, a byte that is not UTF-8 becomes a lone surrogate.
        stream = TextIOWrapper(raw, encoding="utf-8", errors="surrogateescape", newline="")
        while line := stream.readline(LINE_LIMIT):
            if match := _NO_TEXT.search(line):
                if "\0" in line[match.start() : match.start() + 4]:
                    return nul_byte(file, number)
                offset += len(line[: match.start()].encode())
                byte = f"byte 0x{ord(match[0]) - 0xDC00:02x}"
                where = f"{file}:{number}: {byte} at offset {offset}"
                return UserError(f"{where} is not valid UTF-8; save the file as UTF-8")
            offset += len(line.encode())
            number += line.endswith(("\n", "\r"))
    return UserError(f"{file} changed while it was read")
