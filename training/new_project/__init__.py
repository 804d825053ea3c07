"""Writes a new project of a user's own."""
