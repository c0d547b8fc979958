"""Weak corpora, tokenised once: what stage 1 draws its batches from.

Everything is kept as flat arrays with a ``starts`` array beside them, memory-mapped, so a corpus
may be larger than memory and a second run starts at once.
"""

from __future__ import annotations

import copy
import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, TypeVar

import numpy as np
import xxhash

from onetrunk.corpora.store import Prepared, Writer
from onetrunk.corpora.windows import TextWriter, WindowOffsets, WindowTexts, window_labels
from onetrunk.data.alignment import encode, encodings, set_length, window_stride
from onetrunk.data.notes import Notes
from onetrunk.data.rows import Pair, TaggedText
from onetrunk.errors import UserError

# Rows that are tokenised together: enough for the tokenizer to share among its threads, little
# enough to keep memory flat.
CHUNK = 8192
AHEAD = 2

_Row = TypeVar("_Row")
Watch = Callable[[int], None]
"""Told how many rows are done."""


@dataclass(frozen=True)
class NerCorpus:
    """Tokenised sentences (long ones in overlapping windows) with an entity type a token."""

    store: Prepared

    @property
    def types(self) -> list[str]:
        """Entity types, by the index that :meth:`labels` holds."""
        return self.store.record["types"]

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each window, ``(N,)`` int64."""
        return np.diff(self.store.arrays["starts"])

    def __len__(self) -> int:
        return len(self.store.arrays["starts"]) - 1

    def tokens(self, window: int) -> np.ndarray:
        """Token ids with special tokens, ``(T,)`` int32."""
        return _part(self.store, "tokens", "starts", window)

    def labels(self, window: int) -> np.ndarray:
        """Index of each token's entity type, ``OUTSIDE`` or ``SPECIAL``: ``(T,)`` int32."""
        return _part(self.store, "labels", "starts", window)

    @property
    def texts(self) -> WindowTexts:
        """What a teacher reads, if the corpus was prepared for one."""
        return WindowTexts(self.store)

    @property
    def offsets(self) -> WindowOffsets:
        """Where the tokens are in :attr:`texts`."""
        return WindowOffsets(self.store)


@dataclass(frozen=True)
class PairCorpus:
    """Tokenised pairs. A pair's texts stand in a row: query, positive, then negatives if any."""

    store: Prepared

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each pair's texts together, ``(N,)`` int64."""
        return np.diff(self.store.arrays["starts"][self.store.arrays["pairs"]])

    def __len__(self) -> int:
        return len(self.store.arrays["pairs"]) - 1

    def texts(self, pair: int) -> range:
        """Indices of a pair's texts."""
        first, after = self.store.arrays["pairs"][pair : pair + 2].tolist()
        return range(first, after)

    def tokens(self, text: int) -> np.ndarray:
        """Token ids with special tokens, ``(T,)`` int32."""
        return _part(self.store, "tokens", "starts", text)

    def identity(self, text: int) -> int:
        """A hash of the text's tokens without prefix, as int64: equal for texts that the encoder
        cannot tell apart."""
        return int(self.store.arrays["identities"].view(np.int64)[text])

    def truncated(self, text: int) -> bool:
        """Whether the text goes on beyond its last token."""
        return bool(self.store.arrays["truncated"][text])


def _part(store: Prepared, name: str, starts: str, row: int) -> np.ndarray:
    first, after = store.arrays[starts][row : row + 2]
    return store.arrays[name][first:after]


def tokenizer_sha256(tokenizer: Any) -> str:
    """Hash of all that a fast tokenizer does, whatever it last truncated or padded to."""
    backend = tokenizer.backend_tokenizer
    backend.no_truncation()
    backend.no_padding()
    return hashlib.sha256(backend.to_str().encode()).hexdigest()


def write_ner(
    rows: Iterable[TaggedText],
    tokenizer: Any,
    max_length: int,
    writer: Writer,
    watch: Watch = lambda done: None,
    notes: Notes | None = None,
    texts: bool = False,
) -> dict[str, Any]:
    """Tokenise sentences into a store that :class:`NerCorpus` reads; returns what to record.

    A token carries the entity type of the word it overlaps, of two the first. Sentences of more
    than ``max_length`` tokens become windows that overlap by a quarter. Words of entities that no
    token stands for are counted in ``notes``. With ``texts`` the windows' texts are kept too.
    """
    notes = Notes() if notes is None else notes
    text_writer = TextWriter(writer) if texts else None
    types: dict[str, int] = {}
    done, long, end = 0, 0, 0
    writer.append("starts", np.zeros(1, np.int64))
    for chunk, encoded in _tokenised(
        rows, lambda row: [row.text], tokenizer, max_length, window_stride(max_length)
    ):
        windows = [[first, *first.overflowing] for (first,) in encoded]
        flat = [window for parts in windows for window in parts]
        row_of = np.repeat(np.arange(len(chunk)), [len(parts) for parts in windows])
        lengths = np.array([len(window) for window in flat], np.int64)
        labels, lost = window_labels(chunk, types, flat, np.repeat(row_of, lengths))
        for row, word in lost:
            start, after = chunk[row].words[word]
            where = f"row {done + row + 1}: {chunk[row].text[start:after]!r}"
            notes.add("entity words that no token stands for", where)
        writer.append("tokens", _ids(window.ids for window in flat))
        writer.append("labels", labels)
        if text_writer is not None:
            text_writer.append([row.text for row in chunk], flat, row_of.tolist())
        writer.append("starts", end + lengths.cumsum())
        end += int(lengths.sum())
        done += len(chunk)
        long += sum(len(parts) > 1 for parts in windows)
        watch(done)
    return {"rows": done, "long": long, "types": list(types)}


def write_pairs(
    rows: Iterable[Pair],
    tokenizer: Any,
    max_length: int,
    writer: Writer,
    watch: Watch = lambda done: None,
    prefixes: tuple[str, str] = ("", ""),
) -> dict[str, Any]:
    """Tokenise pairs into a store that :class:`PairCorpus` reads; returns what to record.

    A text has one embedding, so one of more than ``max_length`` tokens is cut; ``cut`` counts them.
    ``prefixes`` are put before queries and before all other texts. Raises :class:`UserError` if
    one leaves no room for a text.
    """
    room = _room(prefixes, tokenizer, max_length)

    def texts_of(pair: Pair) -> list[str]:
        bare = [pair.query, pair.positive, *pair.negatives]
        if not any(prefixes):
            return bare
        return [prefixes[0] + bare[0], *(prefixes[1] + text for text in bare[1:]), *bare]

    done, cut, tokens, texts = 0, 0, 0, 0
    writer.append("starts", np.zeros(1, np.int64))
    writer.append("pairs", np.zeros(1, np.int64))
    for chunk, encoded in _tokenised(rows, texts_of, tokenizer, max_length):
        sizes = [2 + len(pair.negatives) for pair in chunk]
        flat = [one for own, size in zip(encoded, sizes, strict=True) for one in own[:size]]
        ids = _ids(encoding.ids for encoding in flat)
        ends = np.cumsum([len(encoding) for encoding in flat])
        truncated = np.array(
            [len(encoding) == max_length and bool(encoding.overflowing) for encoding in flat]
        )
        writer.append("tokens", ids)
        writer.append("starts", tokens + ends)
        writer.append("truncated", truncated)
        writer.append("pairs", texts + np.cumsum(sizes))
        if any(prefixes):  # by what of each text shows behind the longer one
            bare = [one for own, size in zip(encoded, sizes, strict=True) for one in own[size:]]
            shown = [encoding.ids[: room - 1] for encoding in bare]
            writer.append("identities", _identities(_ids(shown), np.cumsum([*map(len, shown)])))
        else:
            writer.append("identities", _identities(ids, ends))
        tokens, texts = tokens + len(ids), texts + len(flat)
        done, cut = done + len(chunk), cut + int(truncated.sum())
        watch(done)
    return {"rows": done, "texts": texts, "cut": cut}


def _room(prefixes: tuple[str, str], tokenizer: Any, max_length: int) -> int:
    """Tokens that the longer prefix leaves to a text and the special tokens around it."""
    special, *taken = [len(one.ids) for one in encode(tokenizer, ["", *prefixes], max_length)]
    room = max_length + special - max(taken)
    if room <= special:
        raise UserError(
            f"prefixes {prefixes[0]!r} and {prefixes[1]!r}: {max(taken) - special} tokens of "
            f"max_length = {max_length} leave none for a text"
        )
    return room


def _ids(rows: Iterable[Sequence[int]]) -> np.ndarray:
    return np.fromiter(chain.from_iterable(rows), np.int32)


def _identities(ids: np.ndarray, ends: np.ndarray) -> np.ndarray:
    data, ends = memoryview(ids.tobytes()), ends * ids.itemsize
    return np.array(
        [
            xxhash.xxh3_64_intdigest(data[start:end])
            for start, end in zip([0, *ends[:-1].tolist()], ends.tolist(), strict=True)
        ],
        np.uint64,
    )


def _tokenised(
    rows: Iterable[_Row],
    texts_of: Callable[[_Row], Sequence[str]],
    tokenizer: Any,
    max_length: int,
    stride: int | None = None,
) -> Iterator[tuple[list[_Row], list[list[Any]]]]:
    """Chunks of rows with the encodings of each row's texts; offsets only where windows need them.

    The tokenizer runs outside Python's lock: some chunks are under way while one is written.
    """
    backend = copy.deepcopy(tokenizer.backend_tokenizer)  # its length is set once, for all threads
    set_length(backend, max_length, stride or 0)

    def work(chunk: list[_Row]) -> tuple[list[_Row], list[list[Any]]]:
        texts = [list(texts_of(row)) for row in chunk]
        flat = iter(encodings(backend, list(chain(*texts)), offsets=stride is not None))
        return chunk, [list(islice(flat, len(own))) for own in texts]

    source, running = iter(rows), deque[Any]()
    with ThreadPoolExecutor(AHEAD) as threads:
        while chunk := list(islice(source, CHUNK)):
            running.append(threads.submit(work, chunk))
            if len(running) > AHEAD:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()
