"""Formats: one file per format, the same verbs in each."""
