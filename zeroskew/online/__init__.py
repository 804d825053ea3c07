"""The online store: reading and writing feature rows, one folder a store."""
