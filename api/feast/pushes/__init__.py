"""Rows that come in by pushes: to the lake and online."""
