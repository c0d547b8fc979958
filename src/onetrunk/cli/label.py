"""``onetrunk label``"""

import os
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from onetrunk.errors import UserError, nearest

UNFINISHED = 3
"""Exit code of a run that stopped early, because of its budget or its endpoint."""

# The labeler that an option is for. With another one it would be ignored in silence.
_LABELER_OF = {
    "types": "gliner",
    "threshold": "gliner",
    "match_case": "gazetteer",
    "names": "pairs",
    **dict.fromkeys(("endpoint", "key_env", "concurrency", "rate", "timeout", "retries"), "chat"),
    **dict.fromkeys(("budget_requests", "budget_tokens", "temperature", "cache"), "chat"),
}


def label(
    context: typer.Context,
    raw: Annotated[
        str, typer.Argument(metavar="RAW", help="A file or folder of texts, or hub:NAME.")
    ],
    labeler: Annotated[
        str,
        typer.Option(
            "--with",
            metavar="LABELER",
            help="spacy:NAME, gliner:NAME, chat:MODEL, gazetteer:FILE (columns name, type), "
            "regex:FILE (columns pattern, type); or pairs:title-body, pairs:question-answer, "
            "pairs:adjacent, pairs:label-synonyms.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the rows and the report.")],
    split: Annotated[str, typer.Option(help="Which file of a folder is read.")] = "train",
    overwrite: Annotated[bool, typer.Option(help="Start again in a folder that is taken.")] = False,
    shard_rows: Annotated[int, typer.Option(min=1, help="Texts between two saves.")] = 500,
    against: Annotated[
        str | None,
        typer.Option(metavar="LABELER", help="A second labeler, to measure agreement."),
    ] = None,
    sample: Annotated[int, typer.Option(min=1, help="Texts for --against.")] = 200,
    seed: Annotated[int, typer.Option(help="Draws the sample.")] = 0,
    types: Annotated[str, typer.Option(help="GLiNER: the types to find: person,place,...")] = "",
    threshold: Annotated[
        float, typer.Option(min=0, max=1, help="GLiNER: least probability of an entity.")
    ] = 0.5,
    match_case: Annotated[
        bool, typer.Option(help="Gazetteer: match upper and lower case, too.")
    ] = False,
    names: Annotated[
        Path | None, typer.Option(help="pairs:label-synonyms: a file, columns label and name.")
    ] = None,
    endpoint: Annotated[
        str, typer.Option(metavar="URL", help="Chat: such as http://localhost:8000/v1.")
    ] = "",
    key_env: Annotated[
        str, typer.Option(metavar="NAME", help="Chat: environment variable that holds the key.")
    ] = "OPENAI_API_KEY",
    concurrency: Annotated[int, typer.Option(min=1, help="Chat: requests at a time.")] = 8,
    rate: Annotated[
        float | None, typer.Option(min=0.001, help="Chat: most requests a minute.")
    ] = None,
    budget_requests: Annotated[
        int | None, typer.Option(min=1, help="Chat: most requests of this run.")
    ] = None,
    budget_tokens: Annotated[
        int | None, typer.Option(min=1, help="Chat: most tokens of this run.")
    ] = None,
    timeout: Annotated[float, typer.Option(min=0.01, help="Chat: seconds to an answer.")] = 60.0,
    retries: Annotated[int, typer.Option(min=0, help="Chat: retries of a request.")] = 6,
    temperature: Annotated[float, typer.Option(min=0, max=2, help="Chat: temperature.")] = 0.0,
    cache: Annotated[
        Path | None, typer.Option(help="Chat: file of answers, to share them between runs.")
    ] = None,
) -> None:
    """Make weak labels for raw text: entities and open concepts, or pairs of texts.

    Writes train.parquet, a report and, for texts that got no answer, failed.jsonl. The same command
    goes on where a run was stopped or killed, and tries failed texts again.

    Example: [cyan]onetrunk label news.jsonl --with spacy:en_core_web_sm --out data/news[/]
    """
    from onetrunk.cli.bars import watched
    from onetrunk.cli.console import say, stdout
    from onetrunk.data.sources import stream_texts
    from onetrunk.label.base import Unfinished
    from onetrunk.label.compare import Sample
    from onetrunk.label.labelers import KINDS, open_labeler, split_spec
    from onetrunk.label.run import label as run_label
    from onetrunk.label.run import survey

    kind, name = split_spec(labeler, (*KINDS, "pairs"))
    _refuse_unused(context, {kind} | ({split_spec(against)[0]} if against else set()))
    if kind == "pairs":
        if against:
            raise UserError("--against compares labelers of entities; pairs have none")
        report = _pairs(raw, name, out, split, names, overwrite)
        stdout().print(f"{report['pairs']:,} pairs in {out}")
        return
    chat = None
    if endpoint:
        from onetrunk.label.labelers.endpoint import Endpoint

        chat = Endpoint(
            endpoint,
            _key(context, key_env),
            timeout=timeout,
            retries=retries,
            concurrency=concurrency,
            rate=rate,
            requests=budget_requests,
            tokens=budget_tokens,
        )
    load = partial(
        open_labeler,
        cache=cache or out / ".work" / "cache.sqlite",
        types=[name.strip() for name in types.split(",") if name.strip()],
        threshold=threshold,
        match_case=match_case,
        endpoint=chat,
        temperature=temperature,
    )
    source = survey(lambda notes: stream_texts(raw, notes, split))
    first = load(labeler)
    second = Sample(load(against), sample, seed) if against else None
    try:
        with watched("label") as progress:
            report = run_label(source, first, out, second, shard_rows, overwrite, progress)
    except Unfinished as stop:
        say("stopped:", "bold", stop)
        raise typer.Exit(UNFINISHED) from None
    except KeyboardInterrupt:
        raise KeyboardInterrupt("finished work is kept; the same command goes on") from None
    _print(report, out)


def _refuse_unused(context: typer.Context, kinds: set[str]) -> None:
    for name, kind in _LABELER_OF.items():
        source = context.get_parameter_source(name)
        if kind not in kinds and source is not None and source.name == "COMMANDLINE":
            raise UserError(f"--{name.replace('_', '-')} is for {kind}, not for {min(kinds)}")


def _key(context: typer.Context, name: str) -> str:
    """The key; a local endpoint needs none, unless the user named a variable."""
    source = context.get_parameter_source("key_env")
    if name not in os.environ and source is not None and source.name == "COMMANDLINE":
        raise UserError(f"--key-env: the environment has no variable {name!r}")
    return os.environ.get(name, "")


def _pairs(
    raw: str, kind: str, out: Path, split: str, names: Path | None, overwrite: bool
) -> dict[str, Any]:
    from onetrunk.data.notes import Notes
    from onetrunk.data.sources import stream_texts
    from onetrunk.label import pairs
    from onetrunk.label.files import open_table

    if kind not in pairs.KINDS:
        raise UserError(f"unknown kind of pairs {kind!r}; {nearest(kind, pairs.KINDS)}")
    if (names is None) == (kind == "label-synonyms"):
        raise UserError("--names FILE goes with pairs:label-synonyms, and the other way round")
    notes = Notes()
    if kind == "adjacent":
        made = pairs.adjacent(stream_texts(raw, notes, split), notes)
    elif names is not None:
        made = pairs.label_synonyms(open_table(raw, split), pairs.read_names(names), notes)
    elif kind == "title-body":
        made = pairs.title_body(open_table(raw, split), notes)
    else:
        made = pairs.question_answer(open_table(raw, split), notes)
    return pairs.write_pairs(made, out, {"pairs_from": kind}, notes, overwrite)


def _print(report: dict[str, Any], out: Path) -> None:
    from onetrunk.cli.console import stdout

    lines = [
        f"{report['rows']:,} rows in {out / 'train.parquet'}: {report['entities']:,} entities of "
        f"{report['types_in_all']:,} types, {report['entities_per_100_words']} per 100 words"
    ]
    for key in ("failed", "without_words", "hallucinated", "retries"):
        if report[key]:
            lines.append(f"{key.replace('_', ' ')}: {report[key]:,}")
    if agreement := report.get("agreement"):
        lines.append(
            f"agreement with {agreement['labeler']}: span F1 {agreement['span_f1']}, "
            f"same type {agreement['typed_agreement']}"
        )
    for line in lines:
        stdout().print(line)
