"""``onetrunk annotate``"""

import logging
from pathlib import Path
from typing import Annotated

import typer

from onetrunk.cli.options import TextColumn
from onetrunk.errors import UserError

logger = logging.getLogger(__name__)
SHOWN = 5
"""So many reasons, and partitions that failed, are printed; the report has all."""


def annotate(
    input: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT...",
            help="Parquet and JSON Lines: files, folders, or URLs of either (s3://…, gs://…).",
        ),
    ],
    model: Annotated[
        list[str], typer.Option(help="A bundle, or an app folder; several apps: repeat it.")
    ],
    out: Annotated[str, typer.Option(help="The folder of Parquet files to write, or its URL.")],
    engine: Annotated[str, typer.Option(help="local: processes here; ray: a Ray cluster.")] = (
        "local"
    ),
    workers: Annotated[
        int | None, typer.Option(help="How many, each on one core. Default: all cores.")
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(help="Of a running Ray cluster, or auto. Default: one is started here."),
    ] = None,
    text_column: TextColumn = None,
    limit: Annotated[int | None, typer.Option(help="Answer the first so many rows only.")] = None,
    partition_rows: Annotated[
        int, typer.Option(help="Rows of a partition: what a kill can cost a worker.")
    ] = 20_000,
    backbone: Annotated[
        str | None, typer.Option(help="Instead of the backbone that the first app names.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Delete the answers in OUT and start again.")
    ] = False,
) -> None:
    """Answer millions of rows, on all cores or on a Ray cluster.

    The input is cut into fixed partitions. Each becomes one Parquet file in OUT, with all columns
    of its rows and those of the answers. The same command goes on after a kill, of a worker or of
    everything, and skips the partitions that are done. A row that cannot be answered has an "error"
    instead; the reasons are counted in the report, OUT/_report.json.

    For a few files of any format, [bold]onetrunk predict --out[/] is simpler.

    Example: [cyan]onetrunk annotate messages/ --model phone --out answers/[/]

    Example: [cyan]onetrunk annotate s3://in/messages --model phone --out s3://out/answers
    --engine ray --address auto[/]
    """
    from onetrunk.bulk.annotate import Machines
    from onetrunk.bulk.annotate import annotate as run
    from onetrunk.bulk.record import REPORT, Settings
    from onetrunk.cli.bars import watched
    from onetrunk.cli.console import console, wrote
    from onetrunk.data.strict_json import NOT_FINITE
    from onetrunk.hub import fetched
    from onetrunk.opening import check_folders

    folders = [fetched(Path(folder)) for folder in model]
    check_folders(folders, backbone)
    with watched("annotate") as progress:
        report = run(
            input,
            folders,
            out,
            backbone,
            Settings(text_column, partition_rows, limit),
            Machines(engine, workers, address),
            overwrite,
            progress,
        )
    for reason, count in report.reasons.most_common(SHOWN):
        logger.warning("%s of %s rows have an error: %s", f"{count:,}", f"{report.rows:,}", reason)
    if len(report.reasons) > SHOWN:
        logger.warning("%s more reasons are in %s", len(report.reasons) - SHOWN, REPORT)
    if report.not_finite:
        logger.warning("%s: %s", NOT_FINITE, f"{report.not_finite:,}")
    if report.workers_lost:
        lost = f"{report.workers_lost} workers were killed or died"
        logger.warning("%s; what they were at was done again", lost)
    if report.rows_per_second is not None:
        console.print(
            f"{report.seconds:,.1f} s, {report.rows_per_second:,.0f} rows/s on {report.workers} "
            f"{report.engine} workers"
        )
    wrote(f"{out}  {report.rows:,} rows in {report.partitions - len(report.faults):,} parts")
    if report.faults:
        faults = "; ".join(report.faults[:SHOWN])
        raise UserError(
            f"{len(report.faults):,} of {report.partitions:,} partitions have no part: {faults}; "
            "the same command tries them again"
        )
