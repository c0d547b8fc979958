"""Rows of evaluation sets among the rows that stage 1 trains on: found, removed and counted."""
