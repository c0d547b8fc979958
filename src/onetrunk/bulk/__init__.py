"""Answers to whole files, every row once with all its columns: by one process, or by many."""
