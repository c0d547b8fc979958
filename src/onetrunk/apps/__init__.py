"""Apps: one downstream task each, on disk and in memory, and many over a text in one pass."""
