import re

from hypothesis import given, settings
from hypothesis import strategies as st

from onetrunk.data.words import runs_of
from onetrunk.label.labelers.matching import Matcher, longest_first

QUICK = settings(derandomize=True, max_examples=200, deadline=None)
WORDS = st.lists(st.sampled_from(["a", "A", "b", "ab", "Straße", "strasse"]), min_size=1)


@QUICK
@given(WORDS, st.lists(WORDS.map(" ".join), max_size=4), st.booleans())
def test_occurrences_are_those_of_a_regular_expression_at_word_borders(words, names, fold):
    text = " ".join(words)
    matches = Matcher(names, ignore_case=fold).occurrences(text)
    expected = []
    for index, name in enumerate(names):
        # Case folding maps ß to ss, which re does not: compare folded texts of equal words.
        for start in range(len(text)):
            for end in range(start + 1, len(text) + 1):
                part = text[start:end]
                same = part.casefold() == name.casefold() if fold else part == name
                inside = re.compile(r"\b")
                if same and inside.match(text, start) and inside.match(text, end):
                    expected.append((start, end, index))
    assert sorted(matches) == sorted(expected)


@QUICK
@given(st.text(alphabet="ab .-东é\u0301\u200b😀\n", max_size=12), st.data())
def test_any_run_of_whole_words_is_found_where_it_stands(text, data):
    words = runs_of(text)
    if not words:
        return
    first = data.draw(st.integers(0, len(words) - 1))
    last = data.draw(st.integers(first, len(words) - 1))
    span = words[first][0], words[last][1]
    matches = Matcher([text[slice(*span)]]).occurrences(text)
    assert (*span, 0) in matches
    name = [text[a:b] for a, b in words[first : last + 1]]
    for start, end, _ in matches:  # and nothing else
        assert [text[a:b] for a, b in words if start <= a and b <= end] == name


@QUICK
@given(
    st.lists(st.tuples(st.integers(0, 12), st.integers(1, 6)).map(lambda s: (s[0], s[0] + s[1])))
)
def test_longest_first_keeps_what_a_greedy_loop_keeps(spans):
    numbered = [(start, end, index) for index, (start, end) in enumerate(spans)]
    left, expected = list(numbered), []
    while left:
        best = min(left, key=lambda span: (span[0] - span[1], span[0], span[2]))
        expected.append(best)
        left = [span for span in left if span[1] <= best[0] or best[1] <= span[0]]
    assert longest_first(numbered) == sorted(expected)


def test_names_match_across_line_ends_and_canonical_forms_but_not_inside_words():
    matcher = Matcher(["New York", "caf\u00e9", "art"])
    assert matcher.occurrences("New\n York") == [(0, 9, 0)]
    assert matcher.occurrences("cafe\u0301") == [(0, 5, 1)]
    assert matcher.occurrences("party artist") == []
    assert matcher.occurrences("new york") == []


def test_a_longer_name_hides_a_shorter_one_inside_it_only():
    names = ["New York", "York", "New York City"]
    text = "New York City and York"
    assert longest_first(Matcher(names).occurrences(text)) == [(0, 13, 2), (18, 22, 1)]


def test_a_name_without_visible_characters_occurs_nowhere():
    matcher = Matcher(["", " \u200b"])
    assert matcher.occurrences("a \u200b b") == []
    assert matcher.equal(" ") == []
