"""An evaluation as one HTML page that needs nothing else: a template, filled with JSON."""

import json
from base64 import b64encode
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

RECORD = "evaluation.json"
"""The file of an evaluation's folder that shows what it is."""
SHOWN_ROWS = 2_000
"""The page shows up to so many wrong rows, the surest; ``rows.jsonl`` has them all."""


@dataclass(frozen=True)
class Curve:
    """A picture of the scores by number of training rows, and what it shows."""

    png: bytes
    finding: str


def evaluation_page(evaluation: dict[str, Any], curve: Curve | None = None) -> str:
    """The page of :meth:`Evaluation.as_json`. It holds the picture itself, so that it can be sent
    as one file.

    Texts and labels reach the page as JSON, and its script shows them as text, never as HTML.
    """
    wrong = [row for row in evaluation["results"] if not row["right"]]
    wrong.sort(key=lambda row: 0.0 if row["confidence"] is None else -row["confidence"])
    shown = {key: value for key, value in evaluation.items() if key != "results"}
    shown |= {"wrong": wrong[:SHOWN_ROWS], "wrong_in_all": len(wrong)}
    if curve is not None:
        png = b64encode(curve.png).decode("ascii")
        shown["curve"] = {"png": png, "finding": curve.finding}
    # "<" could end the script element; ASCII is the same in any encoding.
    data = json.dumps(shown, separators=(",", ":")).replace("<", "\\u003c")
    template = files("onetrunk.apps").joinpath("evaluation.html").read_text(encoding="utf-8")
    return template.replace("@DATA@", data, 1)
