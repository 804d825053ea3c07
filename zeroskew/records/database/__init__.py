"""The one database: its connection, its column types and its migrations."""
