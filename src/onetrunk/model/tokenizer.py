"""The tokenizer of an encoder: symbols that its vocabulary lacks become tokens of their own.

WordPiece (BERT and its kin) knows a word wholly or not at all: one character that is not in the
vocabulary makes ``Oslo🎉`` one unknown token, and ``Oslo`` is lost. Messages on phones are full of
such words. So a run of these symbols is cut from the letters beside it, as punctuation is. All
other texts keep their tokens. ``tokenizer.json`` says so, and every program that reads it does the
same.
"""

import unicodedata
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import Any

from tokenizers import Regex
from tokenizers.models import WordPiece
from tokenizers.pre_tokenizers import BertPreTokenizer, Sequence, Split
from transformers import PreTrainedTokenizerFast

from onetrunk.model.checks import TOKENIZER_CONFIG
from onetrunk.storage import read_json, write_json

_MANY_KINDS = (
    "Oslo\U0001f389 naïve NAÏVE cafe\u0301 Straße don't e-mail 3,5€ 1½ x² \u0130stanbul ﬁne "
    "東京 한국어 ไทย עברית مرحبا \u200bzero\u00adhyphen \U0001f469\U0001f3fd\u200d\U0001f4bb_ok "
    "http://a.b/c_d#e @f #g it’s “so” unbelievably"
)


def with_symbols_apart(tokenizer: Any) -> Any:
    """Return a fast tokenizer that cuts words at the symbols that its vocabulary lacks.

    It is the tokenizer given if that is none of BERT's kind (WordPiece after ``BertPreTokenizer``),
    or cuts words there already. Otherwise it is of transformers' general class: ``BertTokenizer``
    makes itself anew from its vocabulary, and would forget the cuts. The one given is used up.
    """
    backend = tokenizer.backend_tokenizer
    model, words = backend.model, backend.pre_tokenizer
    if not (isinstance(model, WordPiece) and isinstance(words, BertPreTokenizer)):
        return tokenizer
    pieces = backend.get_vocab(with_added_tokens=False)
    pattern = Regex(symbols_unknown_to(pieces, model.continuing_subword_prefix))
    backend.pre_tokenizer = Sequence([Split(pattern, "isolated"), words])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        name_or_path=tokenizer.name_or_path,
        model_max_length=tokenizer.model_max_length,
        padding_side=tokenizer.padding_side,
        truncation_side=tokenizer.truncation_side,
        model_input_names=tokenizer.model_input_names,
        **tokenizer.special_tokens_map,
    )


def symbols_unknown_to(pieces: Iterable[str], prefix: str) -> str:
    """A regular expression for runs of the symbols that are no piece of a WordPiece vocabulary.

    ``prefix`` is what a piece inside a word begins with, such as ``##``.

    Symbols are the characters of Unicode's categories Sc, Sk, Sm and So. The variation selector and
    the frame of a key may follow one. ``web/src/tokenizer.js`` reads this very form.
    """
    bare = {piece.removeprefix(prefix) for piece in pieces}
    known = sorted(piece for piece in bare if len(piece) == 1 and _is_symbol(piece))
    excluded = "".join(rf"\x{{{ord(symbol):x}}}" for symbol in known)
    return rf"(?:[^\P{{S}}{excluded}]|[\x{{fe0f}}\x{{20e3}}])+"


def _is_symbol(character: str) -> bool:
    return unicodedata.category(character)[0] == "S"


def reading_of(tokenizer: Any) -> str:
    """What a tokenizer makes of letters, marks and symbols of many kinds: a hash of token ids.

    Two folders may hold the same weights and cut texts otherwise. Tokens are compared, not the file
    of the tokenizer: newer libraries may write it in another form.
    """
    ids = tokenizer(_MANY_KINDS, truncation=False, verbose=False)["input_ids"]
    return sha256(",".join(map(str, ids)).encode()).hexdigest()


def save_tokenizer(tokenizer: Any, folder: Path) -> None:
    """Write a fast tokenizer into a folder, in the files of transformers."""
    tokenizer.backend_tokenizer.no_truncation()  # else its last truncation would be saved, too
    tokenizer.save_pretrained(folder)
    if type(tokenizer) is PreTrainedTokenizerFast:
        # Its newest name is one that older versions of transformers do not know.
        settings = read_json(folder / TOKENIZER_CONFIG, "settings of a tokenizer")
        settings["tokenizer_class"] = "PreTrainedTokenizerFast"
        write_json(folder / TOKENIZER_CONFIG, settings)
