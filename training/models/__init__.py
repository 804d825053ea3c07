"""The declared models, one file each."""
