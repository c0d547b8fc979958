"""What a labelling run found, for a person to judge: report.json, report.md and types.png."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from onetrunk.data.rows import TaggedText
from onetrunk.label.base import Entity
from onetrunk.storage import write_json

EXAMPLES = 5
TYPES_LISTED = 1000
TYPES_SHOWN = 20
_RETRIES = "retries: "


class Tally:
    """Adds up rows, words, entities and whatever the labeler counted."""

    def __init__(self) -> None:
        self.rows = self.words = self.entities = self.without_entities = 0
        self.failed = self.without_words = 0
        self.counts: Counter[str] = Counter()
        self.types: Counter[str] = Counter()
        self.examples: dict[str, dict[str, None]] = {}  # a dict keeps the order, a set does not

    def count(self, counts: Mapping[str, int]) -> None:
        """Take over counts of one text."""
        self.counts.update(counts)

    def fail(self, without_words: bool) -> None:
        """A text that gives no training row."""
        self.failed += not without_words
        self.without_words += without_words

    def add(self, tagged: TaggedText, entities: Sequence[Entity]) -> None:
        """A training row and its entities."""
        self.rows += 1
        self.words += len(tagged.words)
        self.entities += len(entities)
        self.without_entities += not entities
        for start, end, kind in entities:
            self.types[kind] += 1
            examples = self.examples.setdefault(kind, {})
            if len(examples) < EXAMPLES:
                examples[" ".join(tagged.text[start:end].split())] = None

    def as_json(self) -> dict[str, Any]:
        """The report; the rarest of very many types are left out, and it says how many."""
        listed = sorted(self.types.items(), key=lambda one: (-one[1], one[0]))[:TYPES_LISTED]
        retries = {
            what.removeprefix(_RETRIES): count
            for what, count in sorted(self.counts.items())
            if what.startswith(_RETRIES)
        }
        other = {
            what: count
            for what, count in sorted(self.counts.items())
            if count and not what.startswith(_RETRIES) and what != "hallucinated"
        }
        return {
            "texts": self.rows + self.failed + self.without_words,
            "rows": self.rows,
            "failed": self.failed,
            "without_words": self.without_words,
            "words": self.words,
            "entities": self.entities,
            "entities_per_100_words": _share(100 * self.entities, self.words),
            "share_without_entities": _share(self.without_entities, self.rows),
            "hallucinated": self.counts["hallucinated"],
            "retries": sum(retries.values()),
            "retries_by_reason": retries,
            "counts": other,
            "types_in_all": len(self.types),
            "types": [
                {"type": kind, "count": count, "examples": list(self.examples[kind])}
                for kind, count in listed
            ],
        }


def write_report(report: Mapping[str, Any], folder: Path) -> None:
    """Write ``report.json``, ``report.md`` and, if there are entities, ``types.png``."""
    write_json(folder / "report.json", dict(report))
    beside = folder / ".report.md.partial"
    beside.write_text(as_markdown(report), encoding="utf-8")
    beside.replace(folder / "report.md")
    if report["types"]:
        _plot(report["types"], folder / "types.png")
    else:
        (folder / "types.png").unlink(missing_ok=True)


def as_markdown(report: Mapping[str, Any]) -> str:
    """The report as a page."""
    facts = {
        "Texts": f"{report['texts']:,}",
        "Training rows": f"{report['rows']:,}",
        "Failed (tried again by the same command)": f"{report['failed']:,}",
        "Without words": f"{report['without_words']:,}",
        "Entities": f"{report['entities']:,} of {report['types_in_all']:,} types",
        "Entities per 100 words": report["entities_per_100_words"],
        "Share of rows without entities": report["share_without_entities"],
        "Hallucinated (not in the text, dropped)": f"{report['hallucinated']:,}",
        "Retries": f"{report['retries']:,}",
        **{f"Retries: {what}": f"{n:,}" for what, n in report["retries_by_reason"].items()},
        **{what[0].upper() + what[1:]: f"{n:,}" for what, n in report["counts"].items()},
        **{what: f"{note['count']:,}" for what, note in report.get("input_notes", {}).items()},
    }
    parts = ["# Weak labels", f"Labeler: `{report['labeler']}`", _table(("", ""), facts.items())]
    if agreement := report.get("agreement"):
        facts = {what.replace("_", " "): value for what, value in agreement.items()}
        confusion = [(one["type"], one["other"], one["count"]) for one in facts.pop("types")]
        parts += ["## Agreement with a second labeler", _table(("", ""), facts.items())]
        parts += [_table(("type", "type of the second", "same spans"), confusion)]
    shown = report["types"][: 5 * TYPES_SHOWN]
    rows = [(one["type"], f"{one['count']:,}", "; ".join(one["examples"])) for one in shown]
    parts += ["## Types", _table(("type", "entities", "examples"), rows)]
    if report["types"]:
        parts += ["![The most frequent types](types.png)"]
    return "\n\n".join(parts) + "\n"


def _table(head: Sequence[str], rows: Any) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)


def _cell(value: object) -> str:
    return " ".join(str(value).split()).replace("\\", "\\\\").replace("|", "\\|")


def _share(part: float, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None


def _plot(types: Sequence[Mapping[str, Any]], path: Path) -> None:
    from matplotlib.figure import Figure

    shown = list(types[:TYPES_SHOWN])[::-1]
    figure = Figure(figsize=(6, 0.8 + 0.25 * len(shown)), layout="constrained")
    axes = figure.subplots()
    # A "$" would begin a formula.
    axes.barh(
        [one["type"][:40].replace("$", r"\$") for one in shown], [one["count"] for one in shown]
    )
    axes.set_xlabel("entities")
    axes.set_title(f"{len(shown)} most frequent types of {len(types):,}", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    beside = path.with_name(f".{path.name}.partial")
    figure.savefig(beside, format="png", dpi=120)
    beside.replace(path)
