"""Tagged sentences and text pairs, tokenised once: what stage 1 draws its batches from.

All rows of an array lie one after another; a second array says where each begins. The arrays are
memory-mapped, so a corpus may be larger than memory, and a second run starts at once.
"""

import copy
import hashlib
from array import array
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, TypeVar

import numpy as np
import xxhash

from onetrunk.corpora.store import Prepared, Writer
from onetrunk.corpora.windows import LazyRows, TextWriter, window_labels
from onetrunk.data.alignment import encode, encodings, set_length, window_stride
from onetrunk.data.rows import AnnotatedText, Pair
from onetrunk.errors import UserError

# Rows that are tokenised together: enough for the tokenizer to share among its threads, few enough
# to keep memory flat.
CHUNK = 8192
# Chunks that are being tokenised while another one is written.
AHEAD = 2

_Row = TypeVar("_Row")


@dataclass(frozen=True)
class TokenisedCorpus:
    """A source, tokenised: its name, and a store of the cache."""

    name: str
    store: Prepared

    def __len__(self) -> int:
        """The number of rows to draw from."""
        return len(self.store.arrays["starts"]) - 1

    def tokens(self, text: int) -> np.ndarray:
        """Token ids of a text with special tokens, ``(T,)`` int32."""
        return self.store.part("tokens", "starts", text)

    def truncated(self, text: int) -> bool:
        """Whether a text goes on after its last token. (Sentences for NER are never cut.)"""
        return bool(self.store.arrays["truncated"][text])


@dataclass(frozen=True)
class NerCorpus(TokenisedCorpus):
    """Tokenised sentences with an entity type for each token. Long ones are several windows."""

    @property
    def types(self) -> list[str]:
        """Entity types; :meth:`labels` holds indices into this list."""
        return self.store.record["types"]

    def labels(self, window: int) -> np.ndarray:
        """The entity type of each token, ``OUTSIDE`` or ``SPECIAL``: ``(T,)`` int32."""
        return self.store.part("labels", "starts", window)

    @property
    def texts(self) -> Sequence[str]:
        """The windows' texts, for a teacher, if the corpus was prepared with them."""
        return LazyRows(len(self), self._text)

    @property
    def offsets(self) -> Sequence[np.ndarray]:
        """For each window the character span of each token in its text: ``(T, 2)`` int32.

        The span of a special token is (0, 0).
        """
        return LazyRows(len(self), self._offsets)

    def _text(self, window: int) -> str:
        content = self.store.part("texts", "text_starts", window).tobytes()
        return content.decode("utf-8", "surrogatepass")

    def _offsets(self, window: int) -> np.ndarray:
        start, end = self.store.arrays["starts"][window : window + 2]
        return self.store.arrays["offsets"][2 * start : 2 * end].reshape(-1, 2)


@dataclass(frozen=True)
class PairCorpus(TokenisedCorpus):
    """Tokenised pairs. The texts of a pair are neighbours: query, positive, then any negatives."""

    def __len__(self) -> int:
        """The number of pairs."""
        return len(self.store.arrays["pairs"]) - 1

    def texts(self, pair: int) -> range:
        """Indices of a pair's texts."""
        start, end = self.store.arrays["pairs"][pair : pair + 2].tolist()
        return range(start, end)

    def identity(self, text: int) -> int:
        """A hash of the text's tokens without prefix, as int64.

        It is equal for texts that the encoder cannot tell apart.
        """
        return int(self.store.arrays["identities"].view(np.int64)[text])


def tokenizer_sha256(tokenizer: Any) -> str:
    """Hash of all that a fast tokenizer does, whatever it last truncated or padded to."""
    backend = tokenizer.backend_tokenizer
    backend.no_truncation()
    backend.no_padding()
    return hashlib.sha256(backend.to_str().encode()).hexdigest()


def write_ner(
    rows: Iterable[AnnotatedText],
    tokenizer: Any,
    max_length: int,
    writer: Writer,
    texts: bool = False,
) -> dict[str, Any]:
    """Tokenise sentences into a store that :class:`NerCorpus` reads; returns what to record.

    A token has the type of the entity that it overlaps; of several entities, of the first.
    Sentences of more than ``max_length`` tokens become windows that overlap by a quarter. Entities
    for which there is no token are counted in the writer's notes. With ``texts``, the
    windows' texts are stored too.
    """
    text_writer = TextWriter(writer) if texts else None
    types: dict[str, int] = {}
    done, long, end = 0, 0, 0
    writer.append("starts", np.zeros(1, np.int64))
    for chunk, encoded in _tokenised(
        rows, lambda row: [row.text], tokenizer, max_length, window_stride(max_length)
    ):
        windows_of_row = [[first, *first.overflowing] for (first,) in encoded]
        windows = list(chain.from_iterable(windows_of_row))
        row_of = np.repeat(np.arange(len(chunk)), [len(parts) for parts in windows_of_row])
        lengths = np.array([len(window) for window in windows], np.int64)
        labels, lost = window_labels(chunk, types, windows, np.repeat(row_of, lengths))
        for row, (first, last, _) in lost:
            where = f"row {done + row + 1}: {chunk[row].text[first:last]!r}"
            writer.notes.add("entities that no token stands for", where)
        writer.append("tokens", _flat(window.ids for window in windows))
        writer.append("labels", labels)
        if text_writer is not None:
            text_writer.append([row.text for row in chunk], windows, row_of.tolist())
        writer.append("starts", end + lengths.cumsum())
        end += int(lengths.sum())
        done += len(chunk)
        long += sum(len(parts) > 1 for parts in windows_of_row)
    return {"rows": done, "long": long, "types": list(types)}


def write_pairs(
    rows: Iterable[Pair],
    tokenizer: Any,
    max_length: int,
    writer: Writer,
    prefixes: tuple[str, str] = ("", ""),
) -> dict[str, Any]:
    """Tokenise pairs into a store that :class:`PairCorpus` reads; returns what to record.

    A text has one embedding, so a text of more than ``max_length`` tokens is cut; ``cut`` in the
    record counts them. The first of ``prefixes`` is put before queries, the second before all other
    texts. Raises :class:`UserError` if a prefix leaves no room for a text.
    """
    room = _room(prefixes, tokenizer, max_length)

    def texts_of(pair: Pair) -> list[str]:
        plain = [pair.query, pair.positive, *pair.negatives]
        if not any(prefixes):
            return plain
        return [prefixes[0] + plain[0], *(prefixes[1] + text for text in plain[1:]), *plain]

    done, cut, token_count, text_count = 0, 0, 0, 0
    writer.append("starts", np.zeros(1, np.int64))
    writer.append("pairs", np.zeros(1, np.int64))
    for chunk, encoded in _tokenised(rows, texts_of, tokenizer, max_length):
        sizes = [2 + len(pair.negatives) for pair in chunk]
        read = [text for texts, size in zip(encoded, sizes, strict=True) for text in texts[:size]]
        ids_of_text = [text.ids for text in read]
        ends = np.cumsum([len(ids) for ids in ids_of_text])
        truncated = np.array([len(text) == max_length and bool(text.overflowing) for text in read])
        writer.append("tokens", _flat(ids_of_text))
        writer.append("starts", token_count + ends)
        writer.append("truncated", truncated)
        writer.append("pairs", text_count + np.cumsum(sizes))
        if any(prefixes):  # identity is about the text itself, as far as it is read behind a prefix
            plain = [t for texts, size in zip(encoded, sizes, strict=True) for t in texts[size:]]
            ids_of_text = [text.ids[: room - 1] for text in plain]
        writer.append("identities", _identities(ids_of_text))
        token_count, text_count = token_count + int(ends[-1]), text_count + len(read)
        done, cut = done + len(chunk), cut + int(truncated.sum())
    return {"rows": done, "texts": text_count, "cut": cut}


def _room(prefixes: tuple[str, str], tokenizer: Any, max_length: int) -> int:
    """Tokens that the longer prefix leaves for a text and the special tokens around it."""
    special, *taken = [len(text.ids) for text in encode(tokenizer, ["", *prefixes], max_length)]
    room = max_length + special - max(taken)
    if room <= special:
        raise UserError(
            f"prefixes {prefixes[0]!r} and {prefixes[1]!r}: {max(taken) - special} tokens of "
            f"max_length = {max_length} leave none for a text"
        )
    return room


def _flat(rows: Iterable[Sequence[int]]) -> np.ndarray:
    return np.fromiter(chain.from_iterable(rows), np.int32)


def _identities(ids_of_text: Iterable[Sequence[int]]) -> np.ndarray:
    """A 64-bit hash of the token ids of each text."""
    hashes = [xxhash.xxh3_64_intdigest(array("i", ids).tobytes()) for ids in ids_of_text]
    return np.array(hashes, np.uint64)


def _tokenised(
    rows: Iterable[_Row],
    texts_of: Callable[[_Row], Sequence[str]],
    tokenizer: Any,
    max_length: int,
    stride: int | None = None,
) -> Iterator[tuple[list[_Row], list[list[Any]]]]:
    """Chunks of rows with the encodings of each row's texts.

    Only with a ``stride`` (for windows) do encodings have offsets, which take longer. The tokenizer
    runs outside Python's global lock: some chunks are tokenised while another one is written.
    """
    backend = copy.deepcopy(tokenizer.backend_tokenizer)  # its length is set once, for all threads
    set_length(backend, max_length, stride or 0)

    def tokenise(chunk: list[_Row]) -> tuple[list[_Row], list[list[Any]]]:
        texts = [list(texts_of(row)) for row in chunk]
        encoded = iter(encodings(backend, list(chain(*texts)), offsets=stride is not None))
        return chunk, [list(islice(encoded, len(texts_of_row))) for texts_of_row in texts]

    source, running = iter(rows), deque[Any]()
    with ThreadPoolExecutor(AHEAD) as threads:
        while chunk := list(islice(source, CHUNK)):
            running.append(threads.submit(tokenise, chunk))
            if len(running) > AHEAD:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()
