"""Options that several commands have."""

from typing import Annotated

import typer

TextColumn = Annotated[
    str | None, typer.Option(help="The column of texts. Default: found by its name.")
]
LabelColumn = Annotated[
    list[str] | None,
    typer.Option(
        help="The column of labels. It may be repeated: for ner one for each type, for multi-label "
        "one for each label, with 0 and 1 in it."
    ),
]
Device = Annotated[str, typer.Option(help="Where the encoder runs: cpu, cuda, cuda:1, …")]
