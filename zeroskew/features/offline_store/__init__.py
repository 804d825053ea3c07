"""A Feast offline store over polars as-of joins."""
