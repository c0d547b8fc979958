from hypothesis import given, settings
from hypothesis import strategies as st

from onetrunk.data.words import runs_of
from onetrunk.label.base import Answer, Entity
from onetrunk.label.labelers.pieces import IN_PIECES, label_in_pieces, pieces

QUICK = settings(derandomize=True, max_examples=200, deadline=None)
TEXT = st.text(alphabet="ab. 东😀\u0301\n", max_size=40)


@QUICK
@given(TEXT, st.integers(1, 8))
def test_pieces_are_the_text_and_break_no_word(text, limit):
    cut = pieces(text, limit)
    assert "".join(text[start:end] for start, end in cut) == text
    words = [(start + a, start + b) for start, end in cut for a, b in runs_of(text[start:end])]
    assert words == list(runs_of(text))
    assert all(len(runs_of(text[start:end])) <= limit for start, end in cut)


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
            held.append(Answer(tuple(Entity(a, b, "w") for a, b in runs_of(text)), {"n": 1}))
            if len(held) == ahead:
                yield from held
                held = []
        yield from held

    answers = list(label_in_pieces(texts, limit, every_word))
    assert answers == [
        Answer(
            tuple(Entity(a, b, "w") for a, b in runs_of(text)),
            {"n": 1} if parts == 1 else {"n": parts, IN_PIECES: 1},
        )
        for text, parts in ((text, len(pieces(text, limit))) for text in texts)
    ]


def test_a_text_with_a_failed_piece_has_its_error_and_no_entities():
    def fails_once(stream):
        for text in stream:
            yield Answer(error="timeout") if "c" in text else Answer((Entity(0, 1, "w"),))

    whole, failed = label_in_pieces(["a", "a b c d"], 2, fails_once)
    assert whole == Answer((Entity(0, 1, "w"),))
    assert failed == Answer((), {IN_PIECES: 1}, "timeout")
