"""Stores that only Feast's SDK speaks to."""
