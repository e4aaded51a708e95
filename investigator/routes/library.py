"""Searching all analysed videos."""

from __future__ import annotations

ROUTES: list = []
