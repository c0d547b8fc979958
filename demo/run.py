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
# Both kinds of app in both families: a LoRA with a head, and a linear head alone.
APPS = {
    "calendar": ("ner", "lora"),
    "contact": ("ner", "linear"),
    "intent": ("tc", "lora"),
    "spam": ("tc", "linear"),
}
STRATEGIES = ("none", "tpl")
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


def adapt(strategy: str, app: str) -> None:
    family, adapter = APPS[app]
    data = RUN / "corpus" / family / app
    run(
        *("onetrunk", "adapt", str(RUN / strategy), "--family", family, "--adapter", adapter),
        *("--train", str(data / "train.parquet"), "--validation", str(data / "validation.parquet")),
        *("--test", str(data / "test.parquet"), "--rows", str(ROWS)),
        *("--out", str(RUN / "apps" / strategy / app)),
    )


def score(strategy: str, app: str) -> float:
    path = ROOT / RUN / "apps" / strategy / app / "app.json"
    test = json.loads(path.read_text(encoding="utf-8"))["test"]
    return float(test["f1" if APPS[app][0] == "ner" else "accuracy"])


def table(scores: dict[tuple[str, str], float]) -> Table:
    shown = Table(title=f"Test scores of apps trained on {ROWS} rows (1 seed)")
    for column in ("app", "adapter", "metric"):
        shown.add_column(column)
    for column in (*STRATEGIES, "tpl - none"):
        shown.add_column(column, justify="right")
    for app, (family, adapter) in APPS.items():
        none, tpl = (scores[strategy, app] for strategy in STRATEGIES)
        metric = "entity F1" if family == "ner" else "accuracy"
        shown.add_row(app, adapter, metric, f"{none:.1f}", f"{tpl:.1f}", f"{tpl - none:+.1f}")
    return shown


def plot(scores: dict[tuple[str, str], float], path: Path) -> None:
    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axis = figure.subplots()
    for i, (strategy, colour) in enumerate(zip(STRATEGIES, ("0.7", "tab:blue"), strict=True)):
        values = [scores[strategy, app] for app in APPS]
        places = [place + 0.4 * i for place in range(len(APPS))]
        bars = axis.bar(places, values, width=0.38, color=colour, label=strategy)
        axis.bar_label(bars, fmt="%.0f", fontsize=8)
    names = [f"{app}\n{family}, {adapter}" for app, (family, adapter) in APPS.items()]
    axis.set_xticks([place + 0.2 for place in range(len(APPS))], names)
    axis.set(
        title=f"Four phone apps, {ROWS} labelled rows each", ylabel="test score", ylim=(0, 105)
    )
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(title="pre-finetuning", loc="upper left", ncols=2)
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
            adapt(strategy, app)
    console.rule("3. all four apps over unseen messages, in one pass")
    texts = [part for message in MESSAGES for part in ("--text", message)]
    apps = [str(RUN / "apps" / "tpl" / app) for app in APPS]
    run("onetrunk", "predict", *apps, "--format", "pretty", *texts)
    console.rule("and as a bundle for a device: 8-bit weights, no PyTorch")
    checks = [f"{app}={RUN / 'corpus' / family / app / 'test.parquet'}"
              for app, (family, _) in APPS.items()]  # fmt: skip
    bundle = str(RUN / "bundle")
    run(
        *("onetrunk", "export", str(RUN / "tpl"), *apps, "--out", bundle),
        *("--int8", "--max-drop", "5"),
        *(part for check in checks for part in ("--check", check)),
    )
    run("onetrunk", "predict", bundle, "--format", "pretty", *texts[:4])

    console.rule("what pre-finetuning was worth")
    scores = {(strategy, app): score(strategy, app) for strategy in STRATEGIES for app in APPS}
    console.print(table(scores))
    plot(scores, ROOT / RUN / "scores.png")
    console.print(
        f"plots: {RUN}/scores.png, {RUN}/tpl/losses.png   "
        f"this demo took {time.perf_counter() - start:.0f} s"
    )


if __name__ == "__main__":
    main()
