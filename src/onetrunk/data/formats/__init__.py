"""File formats as streams of columns, one module a format; none holds a whole text file.

Text is UTF-8, with or without a byte order mark; lines end in LF, CRLF or CR. What cannot be read
raises :class:`~onetrunk.errors.UserError` with one line that names the place (``file:line`` in
text files, ``file, row N`` elsewhere; both count from one) and the value.
"""
