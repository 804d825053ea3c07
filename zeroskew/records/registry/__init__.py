"""Which models and versions exist, and where their files are."""
