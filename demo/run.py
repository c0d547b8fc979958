"""``make demo``: the whole method in four minutes, on a corpus this package makes itself.

Runs the same commands a person would type and prints each one; everything lands in ``runs/demo``.
"""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parent.parent
RUN = Path("runs/demo")
APPS = {"calendar": "ner", "contact": "ner", "intent": "tc", "spam": "tc"}
STRATEGIES = ("none", "tpl")
ADAPTERS = ("linear", "lora")
ROWS = 64
MESSAGES = (
    "Dinner with Priya Nair next Tuesday at half past seven, the usual place on Mill Lane?",
    "your FastShip parcel JD0146000021 is waiting, call 020 7946 0182 to rebook",
    "wake me at quarter to six tomorrow, I have an early train",
    "CONGRATS!! You were picked for a free cruise, send your card number to claim it today",
    "thanks for last night, that was lovely",
)

console = Console(highlight=False)


def run(*command: str) -> None:
    """Print a command as a person would type it, then run it."""
    console.print(f"\n[bold cyan]$ {shlex.join(command)}[/]", soft_wrap=True)
    program = str(Path(sys.executable).with_name(command[0]))
    done = subprocess.run([program, *command[1:]], cwd=ROOT, check=False)
    if done.returncode:
        sys.exit(done.returncode)


def adapt(strategy: str, app: str, adapter: str) -> None:
    data = RUN / "corpus" / APPS[app] / app
    run(
        *("onetrunk", "adapt", str(RUN / strategy), "--family", APPS[app], "--adapter", adapter),
        *("--train", str(data / "train.parquet"), "--validation", str(data / "validation.parquet")),
        *("--test", str(data / "test.parquet"), "--rows", str(ROWS)),
        *("--out", str(RUN / "apps" / f"{strategy}-{adapter}" / app)),
    )


def score(strategy: str, app: str, adapter: str) -> float:
    path = ROOT / RUN / "apps" / f"{strategy}-{adapter}" / app / "app.json"
    test = json.loads(path.read_text(encoding="utf-8"))["test"]
    return float(test["f1" if APPS[app] == "ner" else "accuracy"])


def table(scores: dict[tuple[str, str, str], float]) -> Table:
    shown = Table(title=f"Test score of apps trained on {ROWS} rows (1 seed)")
    shown.add_column("app")
    shown.add_column("metric")
    for adapter in ADAPTERS:
        for strategy in STRATEGIES:
            shown.add_column(f"{adapter}\n{strategy}", justify="right")
        shown.add_column(f"{adapter}\ntpl - none", justify="right", style="bold")
    for app, family in APPS.items():
        cells = []
        for adapter in ADAPTERS:
            none, tpl = (scores[strategy, app, adapter] for strategy in STRATEGIES)
            cells += [f"{none:.1f}", f"{tpl:.1f}", f"{tpl - none:+.1f}"]
        shown.add_row(app, "entity F1" if family == "ner" else "accuracy", *cells)
    return shown


def plot(scores: dict[tuple[str, str, str], float], path: Path) -> None:
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    for axis, adapter in zip(figure.subplots(1, 2, sharey=True), ADAPTERS, strict=True):
        for i, (strategy, colour) in enumerate(zip(STRATEGIES, ("0.7", "tab:blue"), strict=True)):
            values = [scores[strategy, app, adapter] for app in APPS]
            places = [place + 0.4 * i for place in range(len(APPS))]
            bars = axis.bar(places, values, width=0.38, color=colour, label=strategy)
            axis.bar_label(bars, fmt="%.0f", fontsize=8)
        axis.set_xticks([place + 0.2 for place in range(len(APPS))], list(APPS))
        axis.set(title=f"{adapter} apps", ylim=(0, 105))
        axis.spines[["top", "right"]].set_visible(False)
    figure.axes[0].set_ylabel("test score")
    figure.axes[0].legend(title="pre-finetuning", loc="upper left")
    figure.suptitle(f"Four phone apps, {ROWS} labelled rows each")
    figure.savefig(path, dpi=120)


def main() -> None:
    start = time.perf_counter()
    shutil.rmtree(ROOT / RUN, ignore_errors=True)
    console.rule("0. a corpus of phone messages")
    run("python", "-m", "onetrunk.data.phone", str(RUN / "corpus"))
    console.rule("1. pre-finetune one encoder for two task families; and not at all, to compare")
    for strategy in STRATEGIES:
        out = str(RUN / strategy)
        run("onetrunk", "prefinetune", "demo/recipe.yaml", "--strategy", strategy, "--out", out)
    console.rule(f"2. adapt four apps from {ROWS} rows each")
    for strategy in STRATEGIES:
        for app in APPS:
            for adapter in ADAPTERS:
                adapt(strategy, app, adapter)
    console.rule("3. all four apps over unseen messages, in one pass")
    texts = [part for message in MESSAGES for part in ("--text", message)]
    apps = [str(RUN / "apps" / "tpl-lora" / app) for app in APPS]
    run("onetrunk", "predict", *apps, "--format", "pretty", *texts)

    console.rule("what pre-finetuning was worth")
    scores = {
        (strategy, app, adapter): score(strategy, app, adapter)
        for strategy in STRATEGIES
        for app in APPS
        for adapter in ADAPTERS
    }
    console.print(table(scores))
    plot(scores, ROOT / RUN / "scores.png")
    console.print(
        f"plots: {RUN}/scores.png, {RUN}/tpl/losses.png   "
        f"this demo took {time.perf_counter() - start:.0f} s"
    )


if __name__ == "__main__":
    main()
