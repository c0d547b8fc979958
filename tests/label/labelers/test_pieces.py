from hypothesis import given, settings
from hypothesis import strategies as st

from onetrunk.label.base import Answer, Entity
from onetrunk.label.labelers.pieces import IN_PIECES, label_in_pieces, pieces, words_of

QUICK = settings(derandomize=True, max_examples=200, deadline=None)
TEXT = st.text(alphabet="ab. 东😀\u0301\n", max_size=40)


@QUICK
@given(TEXT, st.integers(1, 8))
def test_pieces_are_the_text_and_break_no_word(text, limit):
    cut = pieces(text, limit)
    assert "".join(text[start:end] for start, end in cut) == text
    words = [(start + a, start + b) for start, end in cut for a, b in words_of(text[start:end])]
    assert words == list(words_of(text))
    assert all(len(words_of(text[start:end])) <= limit for start, end in cut)


def test_a_piece_ends_with_a_sentence_if_one_ends_in_its_second_half():
    text = "one two three. four five six seven"
    assert [text[a:b] for a, b in pieces(text, 5)] == ["one two three.", " four five six seven"]
    text = "a. b c d e f"
    assert [text[a:b] for a, b in pieces(text, 5)] == ["a. b c d", " e f"]


@QUICK
@given(st.lists(TEXT, max_size=5), st.integers(1, 8), st.integers(1, 3))
def test_answers_are_put_together_in_order_however_far_the_labeler_reads_ahead(texts, limit, ahead):
    def every_word(stream):
        held = []
        for text in stream:
            held.append([Entity(a, b, "w") for a, b in words_of(text)])
            if len(held) == ahead:
                yield from held
                held = []
        yield from held

    found = list(label_in_pieces(texts, lambda text: pieces(text, limit), every_word))
    assert found == [
        Answer(
            tuple(Entity(a, b, "w") for a, b in words_of(text)),
            {IN_PIECES: 1} if len(pieces(text, limit)) > 1 else {},
        )
        for text in texts
    ]
