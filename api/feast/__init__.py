"""Feast's HTTP interface: what its clients send, and what they are answered."""
