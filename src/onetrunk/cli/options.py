"""Options that several commands have."""

from typing import Annotated

import typer

TextColumn = Annotated[
    str | None, typer.Option(help="The column of texts. Default: found by its name.")
]
LabelColumn = Annotated[
    list[str] | None,
    typer.Option(help="The column of labels. For ner it may be repeated: one for each type."),
]
Device = Annotated[str, typer.Option(help="Where the encoder runs: cpu, cuda, cuda:1, …")]
