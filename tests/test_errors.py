"""What a message suggests."""

from pathlib import Path

import pytest

from onetrunk.errors import UserError, closest, nearest, nearest_path

COUNTRIES = [f"country_{number:03}" for number in range(40)]


@pytest.mark.parametrize(
    ("value", "choices", "suggested"),
    [
        ("tlp", ["joint", "tpl", "ner"], "tpl"),
        ("LORA", ["lora", "linear"], "lora"),
        ("lroa", ["lora", "linear"], "lora"),
        ("intend", ["intent", "flags"], "intent"),
        ("mps", ["cpu", "cuda"], None),
        ("cuda", ["cpu"], None),
        ("topic", ["tc", "ner"], None),
        ("speech", ["ner", "tc"], None),
        ("", ["ner", "tc"], None),
    ],
)
def test_only_what_is_alike_is_suggested(
    value: str, choices: list[str], suggested: str | None
) -> None:
    hint = f"did you mean {suggested!r}? " if suggested else ""
    assert nearest(value, choices) == f"{hint}valid: {', '.join(sorted(choices))}"
    assert closest(value, choices) == (suggested or "")
    assert closest(value, []) == ""


def test_a_long_list_is_its_closest_and_their_count() -> None:
    said = nearest("country_17", COUNTRIES)
    assert said.startswith("did you mean 'country_017'? valid: country_017, ")
    assert said.endswith(", … (40 in all)")
    assert said.count("country_") == 6
    assert nearest("zzz", COUNTRIES).startswith("valid: ")
    assert nearest("zzz", []) == "there is nothing to choose from"


def test_a_folder_is_suggested_by_its_name_not_by_where_it_is() -> None:
    beside = [Path("a/long/way/to/runs/joint"), Path("a/long/way/to/runs/tpl")]
    assert nearest_path(Path("a/long/way/to/runs/tlp"), beside).endswith("runs/tpl?")
    assert nearest_path(Path("a/long/way/to/runs/frozen"), beside) == ""


def test_a_message_has_an_end() -> None:
    """A value may be as long as its file; what stands around it is said."""
    error = UserError(f"a.jsonl:3: tag {'[' * 10**6!r} is none; valid: B-x")
    assert len(str(error)) < 1600
    assert str(error).startswith("a.jsonl:3: tag '[[")
    assert str(error).endswith("[[' is none; valid: B-x")
    assert str(UserError("short")) == "short"
