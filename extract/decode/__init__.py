"""Readers: from a file to an index of its frames, and from wanted frames to pixels."""
