"""What differs between two videos of one action (VidDiff): propose, localize, compare, evaluate."""
