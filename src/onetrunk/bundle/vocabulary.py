"""A smaller vocabulary: only the word pieces that a user's texts consist of.

The word embeddings are half of a small encoder, and one application needs few of them. The pieces
of the given texts are kept, so these texts are tokenised exactly as before. All pieces of one
character are kept, too: any other word is then spelt in smaller pieces, and none is lost.
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import replace
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import nn
from transformers import PreTrainedTokenizerFast

from onetrunk.bundle.contents import tokenizer_bytes
from onetrunk.data.alignment import encodings
from onetrunk.errors import UserError, as_number
from onetrunk.model.backbone import Backbone
from onetrunk.model.encoder import Encoder

BATCH_TEXTS = 1024
_SPECIAL = ("unk_token", "pad_token", "cls_token", "sep_token", "mask_token")


def with_vocabulary_of(
    backbone: Backbone, texts: Sequence[str], pieces: int | None = None
) -> Backbone:
    """The backbone with only the word pieces of some texts. Its fingerprint stays, so its apps fit.

    ``pieces``: at most this many, the most frequent ones; the texts' other words are then spelt in
    smaller pieces, too. Raises :class:`UserError` if there are no texts or pieces, or if the
    tokenizer is not WordPiece: only there can pieces be left out without changing how the others
    are found.
    """
    if not texts:
        raise UserError("there are no texts to take a vocabulary from")
    if pieces is not None:
        pieces = as_number(pieces, "pieces", 1)
    content = _content(backbone.encoder)
    counts: Counter[int] = Counter()
    backend = backbone.encoder.tokenizer.backend_tokenizer
    for first in range(0, len(texts), BATCH_TEXTS):
        for encoded in encodings(backend, texts[first : first + BATCH_TEXTS], offsets=False):
            counts.update(encoded.ids)
    frequent = sorted(counts, key=lambda id: (-counts[id], id))[:pieces]
    ids = sorted({*frequent, *_always(content)})
    return replace(backbone, encoder=_pruned(backbone.encoder, content, ids))


def _content(encoder: Encoder) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(tokenizer_bytes(encoder))
    if content["model"]["type"] != "WordPiece":
        raise UserError(
            f"the tokenizer of {encoder.source} is {content['model']['type']}: only a WordPiece "
            "vocabulary (BERT, DistilBERT, MiniLM, ELECTRA) can be made smaller"
        )
    return content


def _always(content: dict[str, Any]) -> Iterator[int]:
    """Ids of special tokens and of pieces of one character."""
    model = content["model"]
    yield model["vocab"][model["unk_token"]]
    yield from (token["id"] for token in content["added_tokens"])
    for piece, id in model["vocab"].items():
        if len(piece.removeprefix(model["continuing_subword_prefix"])) == 1:
            yield id


def _pruned(encoder: Encoder, content: dict[str, Any], ids: list[int]) -> Encoder:
    """The encoder with only these pieces, renumbered."""
    number = {id: i for i, id in enumerate(ids)}
    vocabulary = content["model"]["vocab"]
    content["model"]["vocab"] = {
        piece: number[id] for piece, id in vocabulary.items() if id in number
    }
    for token in content["added_tokens"]:
        token["id"] = number[token["id"]]
    processor = content["post_processor"]
    for token in processor.get("special_tokens", {}).values():  # TemplateProcessing
        token["ids"] = [number[id] for id in token["ids"]]
    for role in ("cls", "sep"):  # BertProcessing
        if role in processor:
            processor[role][1] = number[processor[role][1]]
    names = {name: getattr(encoder.tokenizer, name) for name in _SPECIAL}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(content)),
        model_max_length=encoder.tokenizer.model_max_length,
        **{name: str(token) for name, token in names.items() if token is not None},
    )
    old = encoder.token_embedding
    model = deepcopy(encoder.model, {id(old.weight): old.weight})
    rows = old.weight.detach()[torch.tensor(ids)]
    model.set_input_embeddings(nn.Embedding.from_pretrained(rows, freeze=True))
    model.config.vocab_size = len(ids)
    model.config.pad_token_id = tokenizer.pad_token_id
    return Encoder(model, tokenizer, encoder.source)
