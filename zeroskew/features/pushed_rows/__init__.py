"""Brings the rows that were pushed to the service into the tables of the lake."""
