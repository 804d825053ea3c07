"""Parquet tables: files, parts, schemas, what is read of them."""
