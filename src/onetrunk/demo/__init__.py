"""The demo: a corpus of phone messages that this package makes itself, and the whole method on it.

Values (Faker's, and closed lists of our own) are put into templates of our own, which are the YAML
files under ``templates/``. The messages are then made less tidy: openings, closings, a second
sentence, lower case, shorthand, typos. Templates of validation and test rows are used nowhere else,
so no score measures how well a template was memorised.

``words`` reads the YAML files, ``values`` makes what fills a slot, ``writer`` writes one text,
``corpus`` makes all rows and writes them as Parquet files. ``run`` holds the steps of ``onetrunk
demo``, which the command line prints and runs.
"""
