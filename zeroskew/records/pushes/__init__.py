"""Rows that were pushed and wait in the database for the lake."""
