"""What to do about each kind of note that labelled data may give rise to."""

ADVICE = {
    "duplicate rows": "keep one of each: the same row in training and test makes scores too good",
    "rows whose text occurs before with other labels": "decide on one answer for each text",
    "labels that differ from another only by": "write each label in one way",
    "labels that other programs write for a missing value": "remove these rows, or rename them",
    "labels that look like several": "use the family multi-label, which splits them",
    "cells that may join several": "write a list, or use each label in other rows, too",
    "labels that are numbers": "use the family rating, if they are a scale",
    "labels -1 beside": "remove these rows, if nobody labelled them",
    "columns with a second text": "join both texts into one column, if the label is about both",
    "columns of labels that hardly repeat": "name the right column by --label-column",
    "columns without a name": "give them a name, if they matter",
    "empty cells, read as texts without": "do nothing, if no label applies to these texts",
    "labels that may be misspelt": "write each label in one way",
    "rows that are hidden in Excel": "delete them in Excel, if they are not meant",
    "texts with entities marked inside": "use the family ner to learn them, or remove the marks",
    "labels with fewer than": "label more rows of them, or join them to other labels",
    "texts that other programs write for a missing value": "remove these rows, if they are none",
    "texts that are empty": "remove these rows, or fill in the text",
    "texts that are only an address": "put the text itself into the file",
    "texts with the sign": "read the original file again in its own encoding",
    "texts that look like UTF-8 read as": "read the original file again as UTF-8",
    "texts with control characters": "remove them, if they mean nothing",
    "texts with invisible characters": "nothing, unless texts in use have none: then remove them",
    "texts with marks that turn": "remove them, if the texts in use have none",
    "texts with HTML": "remove the tags here and in use, or keep them in both",
    "texts of more than": "nothing: they are read in overlapping windows; short texts are faster",
    "texts of entities that also occur unmarked": "mark them there too, if they are meant",
    "texts that are entities of several types": "check that each type is meant",
    "spans that begin or end inside a word": "move the ends of the spans to the ends of the words",
    "spans with white space at an edge": "nothing: the white space is left out",
    "spans that overlap": "use the family nested-ner, which keeps spans of different types",
    "texts with span offsets in UTF-16": "nothing: they are converted",
    "texts with span offsets that may be": "check that one of these spans covers what it should",
    "rows with the answer": "do nothing, if they were meant to be left out",
    "tasks with several annotations": "mark the right one as ground truth",
    "lists of the numbers 0 and 1": "write the names of the labels",
    "sentences of more than": "put a blank line after each sentence",
}
"""By the first words of the kind of note."""


def advice(kind: str) -> str | None:
    """What to do about a kind of note; None where there is nothing to say."""
    return next((what for start, what in ADVICE.items() if kind.startswith(start)), None)
