"""Feast online stores in Feast's own layouts, where no older value replaces a newer one."""
