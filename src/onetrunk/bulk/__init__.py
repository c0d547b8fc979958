"""Answers to whole files: every row once, in order, with all its columns."""
