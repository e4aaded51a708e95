"""Cheap looks at frames: what a learned selection sees before the expensive encoder does."""
