"""How the tables behind the feature views are made: read, validate, clean, write."""
