"""Typed configuration: one frozen dataclass per command, read from YAML and the command line."""
