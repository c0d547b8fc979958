"""Options that several commands have."""

from typing import Annotated

import typer

TextColumn = Annotated[
    str | None, typer.Option(help="The column of texts, if it is not called text.")
]
LabelColumn = Annotated[
    str | None, typer.Option(help="The column of labels, if it is not called label.")
]
