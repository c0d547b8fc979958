"""File formats, and tables in memory, as streams of columns; one module for each format.

Only the JSON and ``.spacy`` formats hold a whole file in memory. Text is UTF-8, with or without a
byte order mark; lines end in LF, CRLF or CR. What cannot be read raises
:class:`~onetrunk.errors.UserError` with one line that names the value and its place: ``file:line``
in text files, ``file, row N`` elsewhere. Both count from one.
"""
