"""The words of a text. The browser's rule is compared with this one in tests/bundle/test_web.py."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onetrunk.data.words import inside_word, is_blank, runs_of, visible, words_of

texts = st.text(
    st.sampled_from("aB1_.,:/-&@#'+! \t\u0301日한กั\u200b\u00ad\ufffd😀👍🏽"), max_size=40
)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("write to mia.karl7@mail.example, ok?", "write|to|mia.karl7@mail.example|,|ok|?"),
        ("(see https://t.co/a?b=c.) www.x.org/", "(|see|https://t.co/a?b=c|.|)|www.x.org/"),
        ("@jenna likes #new_york @ home", "@jenna|likes|#new_york|@|home"),
        ("9:30 1,000.5 12/11/2026 5-3 +49-222 3.", "9:30|1,000.5|12/11/2026|5-3|+49-222|3|."),
        ("Jean\u2011Luc Jean\u2010Luc", "Jean\u2011Luc|Jean\u2010Luc"),
        ("Jean-Luc -x- AT&T PX-4411/B.3", "Jean-Luc|-|x|-|AT&T|PX-4411|/|B|.|3"),
        ("U.S. e.g. t.co John F. K. Smith B.", "U.S.|e.g.|t|.|co|John|F.|K.|Smith|B|."),
        ("in room B. Then A. Bo", "in|room|B|.|Then|A.|Bo"),
        ("Anna's don’t l'eau", "Anna|'s|don|’t|l|'|eau"),
        ("end.Next hi,Anna", "end|.|Next|hi|,|Anna"),
        ("wait... no!! -- ?!", "wait|...|no|!!|--|?|!"),
        ("日本\u3099 abc北", "日|本\u3099|abc|北"),
        ("LG전자 서울에서 ᄉ", "LG|전|자|서|울|에|서|ᄉ"),
        ("ในน่าน xກ່ ភ្នំ ရန်", "ใ|น|น่|า|น|x|ກ່|ភ្|នំ|ရ|န်"),
        ("Lon\u00addon\u200b x", "Lon\u00addon|x"),
        ("👍🏽👍 ❤️❤️ 10km", "👍🏽|👍|❤️|❤️|10km"),
    ],
)
def test_words(text: str, words: str) -> None:
    assert [text[start:end] for start, end in words_of(text)] == words.split("|")


def test_runs_are_what_words_are_made_of() -> None:
    text = "mia@x.de 9:30 don't ..."
    runs = [text[start:end] for start, end in runs_of(text)]
    assert runs == ["mia", "@", "x", ".", "de", "9", ":", "30", "don", "'", "t", ".", ".", "."]


@settings(derandomize=True, deadline=None, max_examples=300)
@given(texts)
def test_each_visible_character_is_in_one_word(text: str) -> None:
    for spans in (words_of(text), runs_of(text)):
        covered = [at for start, end in spans for at in range(start, end)]
        assert covered == sorted(set(covered))
        for start, end in spans:
            assert visible(text, start, end) == (start, end)
        left_out = "".join(text[at] for at in {*range(len(text))} - {*covered})
        assert not left_out.strip(" \t\u200b\u00ad")
    edges = {edge for run in runs_of(text) for edge in run}
    assert all({start, end} <= edges for start, end in words_of(text))
    for at in range(len(text) + 1):
        inside = any(start < at < end for start, end in runs_of(text))
        assert inside or not inside_word(text, at) or text[at - 1] in "\u0301\u0e31"


def test_what_is_visible_of_a_span() -> None:
    assert visible(" \u200bab \u00ad", 0, 6) == (2, 4)
    assert visible("a\u200b b", 0, 4) == (0, 4)
    assert visible("\u200b", 0, 1) == (0, 1)


@pytest.mark.parametrize("part", ["a.", "a-", "a@", "http://", "1:", ".", "www.", "a\u00ad", " "])
def test_time_is_linear_in_the_text(part: str) -> None:
    text = part * (200_000 // len(part))
    start = time.perf_counter()
    words_of(text)
    visible(f"x{text}x", 0, len(text) + 2)
    visible(text, 0, len(text))
    assert time.perf_counter() - start < 5


def test_blank_texts() -> None:
    for text in (
        "",
        " \t\n",
        "\u00a0\u3000",
        "\x00\x1f\x85",
        "\u200b\u200d\ufeff",
        "\ufe0f",
        "\u3164",
    ):
        assert is_blank(text), repr(text)
        assert not is_blank(f"{text}.{text}")
    for text in ("a", "\u0301", "\ud800", "\ufffd", "\ue000", "😀"):
        assert not is_blank(text), repr(text)
    start = time.perf_counter()
    assert not is_blank(" \u200b\ufe0f" * 60_000 + "a")
    assert time.perf_counter() - start < 1
