"""Words and characters against the tokens of any fast tokenizer, by character offsets."""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from onetrunk.data.examples import Span

# transformers sets the truncation on the tokenizer itself before each call: two threads that read
# to different lengths would cut each other's texts.
_TOKENIZING = threading.Lock()
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Encoded:
    """A tokenised text: ids with special tokens, and each token's character span (special: (0, 0)).

    ``truncated`` says that the text went on beyond the last token.
    """

    ids: tuple[int, ...]
    offsets: tuple[Span, ...]
    truncated: bool


def encode(tokenizer: Any, texts: Sequence[str], max_length: int) -> list[Encoded]:
    """Tokenise texts to at most ``max_length`` tokens each, special tokens included."""
    if not texts:
        return []
    # Half a surrogate pair (JSON can carry one) is no Unicode; one character stands for it, so
    # that offsets stay right.
    clean = [_SURROGATE.sub("\ufffd", text) for text in texts]
    with _TOKENIZING:
        batch = tokenizer(
            clean, truncation=True, max_length=max_length, padding=False,
            return_offsets_mapping=True, return_token_type_ids=False, return_attention_mask=False,
        )  # fmt: skip
    return [
        Encoded(tuple(ids), tuple(map(tuple, offsets)), bool(encoding.overflowing))
        for ids, offsets, encoding in zip(
            batch["input_ids"], batch["offset_mapping"], batch.encodings, strict=True
        )
    ]


def first_tokens(words: Sequence[Span], offsets: Sequence[Span]) -> list[int]:
    """Index of the first token that overlaps each word, -1 for a word without one.

    A word has no token if it was truncated or if the tokenizer deletes its characters (a lone
    zero-width joiner, say). Words and tokens must each be in ascending order of position.
    """
    found, token = [], 0
    for start, end in words:
        while token < len(offsets) and (
            offsets[token][1] <= start or offsets[token][0] == offsets[token][1]
        ):
            token += 1
        inside = token < len(offsets) and offsets[token][0] < end
        found.append(token if inside else -1)
    return found
