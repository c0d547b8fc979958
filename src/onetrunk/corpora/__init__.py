"""Data of stage 1 on disk: tokenised corpora and teacher states, in one cache."""
