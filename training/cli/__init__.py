"""The `zeroskew` command, one file for each group of commands."""
