"""The project that a command works on: its folders, database, definitions and clock."""
