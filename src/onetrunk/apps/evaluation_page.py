"""An evaluation as one HTML page that needs nothing else: a template, filled with JSON."""

import json
from importlib.resources import files
from typing import Any

RECORD = "evaluation.json"
"""The file of an evaluation's folder that shows what it is."""
SHOWN_ROWS = 2_000
"""The page shows up to so many wrong rows, the surest; ``rows.jsonl`` has them all."""


def evaluation_page(evaluation: dict[str, Any]) -> str:
    """The page of :meth:`Evaluation.as_json`.

    Texts and labels reach the page as JSON, and its script shows them as text, never as HTML.
    """
    wrong = [row for row in evaluation["results"] if not row["right"]]
    wrong.sort(key=lambda row: 0.0 if row["confidence"] is None else -row["confidence"])
    shown = {key: value for key, value in evaluation.items() if key != "results"}
    shown |= {"wrong": wrong[:SHOWN_ROWS], "wrong_in_all": len(wrong)}
    # "<" could end the script element; ASCII is the same in any encoding.
    data = json.dumps(shown, separators=(",", ":")).replace("<", "\\u003c")
    template = files("onetrunk.apps").joinpath("evaluation.html").read_text(encoding="utf-8")
    return template.replace("@DATA@", data, 1)
