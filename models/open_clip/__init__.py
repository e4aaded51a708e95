"""open_clip models."""
