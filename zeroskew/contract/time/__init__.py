"""Instants, always in UTC, and the clock that they are read from."""
