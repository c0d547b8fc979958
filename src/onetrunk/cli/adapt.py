"""``onetrunk adapt``"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from onetrunk.errors import UserError, nearest


def adapt(
    backbone: Annotated[
        str,
        typer.Argument(
            metavar="BACKBONE",
            help="Backbone folder, or a bare encoder: folder, hub name, package:NAME.",
        ),
    ],
    family: Annotated[
        str,
        typer.Option(help="ner, nested-ner, tc (one label a text), multi-label or rating."),
    ],
    train: Annotated[Path, typer.Option(help="Labelled rows: Parquet, JSONL, CoNLL or CSV.")],
    out: Annotated[Path, typer.Option(help="Folder to write the app to; its name is the app's.")],
    validation: Annotated[
        Path | None, typer.Option(help="Rows for early stopping and choosing the penalty.")
    ] = None,
    test: Annotated[Path | None, typer.Option(help="Rows to score the finished app on.")] = None,
    adapter: Annotated[
        str | None,
        typer.Option(
            help="lora: an own LoRA and a linear head. linear: the head alone. Default: lora."
        ),
    ] = None,
    auto: Annotated[
        bool,
        typer.Option(
            "--auto", help="Try both adapters on held-out rows and choose; instead of --adapter."
        ),
    ] = False,
    budget: Annotated[
        float, typer.Option(min=0, help="Seconds that --auto may spend on trying.")
    ] = 120,
    rows: Annotated[
        int | None, typer.Option(help="Train on so many rows, drawn by --seed. Default: all.")
    ] = None,
    fraction: Annotated[
        float | None, typer.Option(help="Or on a share of them, stratified by label: 0.1.")
    ] = None,
    shots: Annotated[
        int | None, typer.Option(help="Or on so many rows a label (ner: mentions a type).")
    ] = None,
    subset: Annotated[
        Path | None,
        typer.Option(help="Or on the rows of an earlier draw: another app's rows.json."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of drawing rows, LoRA start and batch order.")] = 0,
    k: Annotated[
        int | None, typer.Option(help="LoRA on the last K layers. Default: the backbone's k.")
    ] = None,
    rank: Annotated[int, typer.Option(help="LoRA rank where the family has no primary LoRA.")] = 16,
    head_layers: Annotated[
        int | None,
        typer.Option(
            help="States that the head reads, the last ones: 1 to K + 1. Default: as is best."
        ),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(help="Default: enough for about 200 updates, 4 to 12.")
    ] = None,
    batch_size: Annotated[int, typer.Option(help="Rows an update.")] = 16,
    max_length: Annotated[
        int, typer.Option(help="Tokens a window; longer texts are read in several.")
    ] = 128,
    precision: Annotated[
        str, typer.Option(help="fp32, bf16 or auto: bf16 where it is measured to be faster.")
    ] = "auto",
    unlabelled: Annotated[
        Path | None,
        typer.Option(help="Texts without labels, on which a teacher's answers are learned, too."),
    ] = None,
    teacher: Annotated[
        Path | None,
        typer.Option(
            help="The app that answers them. Default: one with a LoRA on every layer, made first."
        ),
    ] = None,
    neighbours: Annotated[
        bool,
        typer.Option(
            "--neighbours",
            help="Blend the head with the votes of the nearest training texts, if that is better.",
        ),
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUT.")] = False,
) -> None:
    """Stage 2: train a small app on the frozen backbone, in seconds.

    The app folder holds a linear head, a LoRA in PEFT format (unless [bold]--adapter linear[/]) and
    [bold]app.json[/] with labels, scores and the fingerprint of the backbone, the only one it will
    run on. The LoRA starts from the family's task-primary LoRA where the backbone has one.

    NER rows have [bold]tokens[/] and [bold]ner_tags[/], or are CoNLL lines or annotated spans
    (spaCy, Doccano, Label Studio); classification rows have [bold]text[/] and [bold]label[/]. What
    reading converted or found odd is said. Rows that were drawn are kept in [bold]rows.json[/].

    [bold]--auto[/] tries a linear app and one with a LoRA on the validation rows, or in their
    absence on training rows that are held out, takes the LoRA if it is better by more than noise,
    and says why.

    [bold]--unlabelled[/] teaches the app what one with a LoRA on every layer answers, on texts of
    the kind that it will read, or any others.

    Example: [cyan]onetrunk adapt runs/tpl --family tc --train banking.csv --out apps/banking[/]
    """
    from onetrunk.adaptation.auto import choose_adapter
    from onetrunk.adaptation.draws import Draw, draw_rows, save_rows
    from onetrunk.adaptation.fit import fit
    from onetrunk.adaptation.task import AdaptSettings, Data
    from onetrunk.apps.app import AdapterKind, backbone_from, save_app
    from onetrunk.apps.engine import Engine
    from onetrunk.cli.console import console, say
    from onetrunk.data.notes import Notes
    from onetrunk.data.sources import locate, read_texts
    from onetrunk.families import family as family_named
    from onetrunk.model.backbone import load_backbone
    from onetrunk.model.precision import Precision
    from onetrunk.storage import atomic_folder, refuse_existing

    refuse_existing(out, overwrite)
    if auto and (unlabelled or teacher):
        raise UserError("--auto judges by labels, not by a teacher: leave one out")
    if teacher and not unlabelled:
        raise UserError("--teacher needs texts to answer: pass --unlabelled")
    if auto and adapter:
        raise UserError(
            f"--auto chooses the adapter, and --adapter {adapter} gives it: leave one out"
        )
    kind = family_named(family)
    settings = AdaptSettings(
        adapter=_choice("--adapter", adapter or "lora", AdapterKind),
        k=_positive("--k", k), rank=_positive("--rank", rank), epochs=_positive("--epochs", epochs),
        batch_size=_positive("--batch-size", batch_size),
        max_length=_positive("--max-length", max_length),
        head_layers=_positive("--reads", head_layers), seed=seed, neighbours=neighbours,
        precision=_choice("--precision", precision, Precision),
    )  # fmt: skip
    notes = Notes()
    every = kind.read(train, notes)
    kind.check_rows(every, str(train))
    labels = kind.label_set(every)
    draw = Draw(rows, fraction, shots, subset)
    sha256 = locate(train).sha256() if draw.what() else ""
    ids = draw_rows(every, kind, draw, seed, sha256, notes)
    data = Data(labels, [every[row] for row in ids])
    held_out = {}
    for name, path in (("validation", validation), ("test", test)):
        if path is not None:
            held_out[name] = kind.read(path, notes)
            kind.check_labels(held_out[name], labels, str(path))
            kind.check_rows(held_out[name], str(path))
    data.validation = held_out.get("validation", [])

    loaded = load_backbone(backbone)
    if k is not None and k > loaded.encoder.depth:
        raise UserError(f"--k {k}: the encoder has {loaded.encoder.depth} layers")
    texts, known = [], None
    if unlabelled is not None:
        known = _load_teacher(teacher, kind) if teacher else None
        texts = [kind.parse(text) for text in read_texts(unlabelled, notes)]
    say(notes)
    if unlabelled is not None:
        data = _watch(
            lambda progress: _taught(known, loaded, kind, data, texts, settings, progress),
            out.name,
        )
    if auto:
        choice = _watch(
            lambda progress: choose_adapter(loaded, kind, data, settings, budget, progress),
            out.name,
        )
        app = choice.app
        app.record["auto"] = {"tried": [asdict(one) for one in choice.tried], "why": choice.why}
    else:
        app = _watch(lambda progress: fit(loaded, kind, data, settings, progress), out.name)
    app.record["backbone"] = backbone_from(out, backbone)
    if texts:
        app.record["teacher"] = str(teacher or "a LoRA on every layer")
    scores = {}
    if test is not None:
        engine = Engine(loaded, {out.name: app})
        scores = engine.score(out.name, held_out["test"], str(test))
        app.record["test"] = {
            "rows": len(held_out["test"]),
            **{name: round(value, 2) for name, value in scores.items()},
        }
    with atomic_folder(out, overwrite) as folder:
        save_app(app, loaded, folder)
        save_rows(folder, ids, draw, seed, sha256)
    console.print(
        f"[bold green]wrote[/] {out}  {family}, {app.kind}, {len(data.train)} rows, "
        f"{_answers(kind, labels)}, {app.record['trainable_parameters']:,} parameters, "
        f"{app.record['seconds']} s"
    )
    if auto:
        scores_of = ", ".join(_tried(one) for one in choice.tried)
        console.print(f"  {scores_of}: {choice.why}", markup=False)
    if texts:
        by = app.record["teacher"]
        console.print(f"  taught by {by} on {len(texts)} more texts", markup=False)
    if unread := app.record["train_unread"]:
        console.print(
            f"  {unread} training words have no token of this encoder: nothing is learned"
        )
    if long := app.record["train_long"]:
        console.print(
            f"  {long} of {len(data.train)} training texts are longer than {app.max_length} tokens "
            "and are read in overlapping windows"
        )
    if neighbours:
        console.print(f"  {_neighbours(app.neighbours)}")
    if scores:
        console.print(f"  test ({len(held_out['test'])} rows): " + _scores(scores, kind.metric))


def _load_teacher(folder: Path, family: Any) -> tuple[Any, Any]:
    """An app of this family, and the backbone that it names."""
    from onetrunk.cli.running import load_engine

    engine = load_engine([folder], None)
    (app,) = engine.apps.values()
    if app.family.name != family.name:
        raise UserError(f"{folder} is of family {app.family.name!r}, not {family.name!r}")
    return app, engine.backbone


def _taught(
    teacher: tuple[Any, Any] | None,
    backbone: Any,
    family: Any,
    data: Any,
    texts: list[Any],
    settings: Any,
    progress: Any,
) -> Any:
    """The data with a teacher's answers: the given one's, or a deep one's, made here."""
    from onetrunk.adaptation.distill import deep_teacher, taught

    if teacher is not None:
        app, backbone = teacher
    else:
        app = deep_teacher(backbone, family, data, settings, progress)
    return taught(app, backbone, data, texts, settings.precision)


def _answers(kind: Any, labels: list[str]) -> str:
    """What an app chooses from."""
    if kind.classes(labels) < len(labels):  # a number between two ends
        return f"scale from {labels[0]} to {labels[-1]}"
    return f"{len(labels)} labels"


def _tried(one: Any) -> str:
    return f"{one.name} {'–' if one.score is None else one.score} ({one.seconds:.1f} s)"


def _neighbours(found: Any) -> str:
    if found is None:
        return "neighbours: no blend was better than the head alone; none are kept"
    return (
        f"neighbours: {found.share:.0%} of the answer is the votes of the nearest {found.count} of "
        f"{len(found.keys)} training texts, which the app holds as vectors"
    )


def _scores(scores: dict[str, float], metric: str) -> str:
    rest = "  ".join(f"{name} {value:.1f}" for name, value in scores.items() if name != metric)
    return f"[bold]{metric} {scores[metric]:.1f}[/]  {rest}"


def _watch(work: Any, name: str) -> Any:
    from onetrunk.cli.console import progress_bar

    with progress_bar() as bar:
        task = bar.add_task(f"adapt {name}", total=None, note="trunk, linear head")
        app = work(
            lambda what, done, total: bar.update(task, completed=done, total=total, note=what)
        )
        shown = bar.tasks[0]
        if shown.total is None:  # a linear app is solved in one go
            bar.update(task, completed=1, total=1, note="linear head")
        elif shown.completed < shown.total:
            bar.update(task, note="stopped early: validation no longer improved")
        return app


def _choice(option: str, value: str, choices: Any) -> Any:
    """``value``, if it is one of a literal type's."""
    if value not in (known := get_args(choices)):
        raise UserError(f"{option} {value!r} is unknown; {nearest(value, known)}")
    return value


def _positive(option: str, value: Any) -> Any:
    if value is not None and value < 1:
        raise UserError(f"{option} {value}: must be at least 1")
    return value
