from __future__ import annotations

import threading
from typing import Any

import pytest

from onetrunk.data.alignment import encode

TEXTS = {
    "plain": "call mum in new york, now!",
    "long words": "antidisestablishmentarianism xyzzyplugh",
    "emoji": "call 😀 mum 👩‍👩‍👧 👍🏽 now 🇫🇷!",
    "combining marks": "cafe\u0301 nai\u0308ve e\u0301\u0302\u0303 o\u0327k",
    "precomposed": "café naïve Ångström İstanbul ſtraße ﬁne",
    "zero width": "new\u200byork mu\u200dm \u200b \u200d a\u200cb\ufeff",
    "soft hyphen": "in\u00adto the\u00ad \u00ad end",
    "right to left": "שלום new מרחבא مرحبا يور",
    "cjk": "日本語abc北京に行く。東京",
    "controls": "a\x00b\tc\nd\r\n\x7fe \ufffd f",
    "no-break": "new\u00a0york\u3000paris",
    "only marks": "\u0301\u0301",
    "empty": "",
    "blank": " \t ",
}


def test_encode_keeps_specials_and_offsets(tiny_tokenizer: Any) -> None:
    text = "New york mumq"
    (encoded,) = encode(tiny_tokenizer, [text], 64)
    names = tiny_tokenizer.convert_ids_to_tokens(list(encoded.ids))
    assert names == ["[CLS]", "new", "york", "mum", "##q", "[SEP]"]
    assert encoded.offsets == ((0, 0), (0, 3), (4, 8), (9, 12), (12, 13), (0, 0))
    assert not encoded.truncated


@pytest.mark.parametrize(
    ("max_length", "truncated"), [(3, True), (5, True), (6, False), (7, False), (64, False)]
)
def test_truncated_says_that_text_was_lost(
    tiny_tokenizer: Any, max_length: int, truncated: bool
) -> None:
    (encoded,) = encode(tiny_tokenizer, ["new york paris river"], max_length)
    assert encoded.truncated == truncated
    assert len(encoded.ids) == min(max_length, 6)
    assert encoded.ids[-1] == tiny_tokenizer.sep_token_id


def test_rows_do_not_depend_on_each_other(tiny_tokenizer: Any) -> None:
    texts = list(TEXTS.values())
    together = encode(tiny_tokenizer, texts, 12)
    assert together == [encode(tiny_tokenizer, [text], 12)[0] for text in texts]
    assert any(row.truncated for row in together)
    assert not all(row.truncated for row in together)
    assert encode(tiny_tokenizer, [], 12) == []


def test_empty_text_is_its_special_tokens(tiny_tokenizer: Any) -> None:
    (encoded,) = encode(tiny_tokenizer, [""], 12)
    assert encoded.ids == (tiny_tokenizer.cls_token_id, tiny_tokenizer.sep_token_id)
    assert not encoded.truncated


def test_lone_surrogates_do_not_crash(tiny_tokenizer: Any) -> None:
    # JSON can carry half a surrogate pair: "\ud83d" is valid there and no Unicode text.
    (encoded,) = encode(tiny_tokenizer, ["new \ud83d york"], 12)
    assert encoded.offsets[1:-1] == ((0, 3), (6, 10))


def test_threads_may_truncate_one_tokenizer_to_different_lengths(tiny_tokenizer: Any) -> None:
    faults: list[str] = []

    def work(length: int) -> None:
        for _ in range(60):
            try:
                rows = encode(tiny_tokenizer, ["new york " * 40] * 4, length)
            except RuntimeError as error:
                faults.append(str(error))
            else:
                faults.extend(f"{length}: {len(r.ids)}" for r in rows if len(r.ids) != length)

    threads = [threading.Thread(target=work, args=(length,)) for length in (10, 20, 30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
