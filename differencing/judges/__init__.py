"""Stage 3's judges: of which video a statement holds more."""
