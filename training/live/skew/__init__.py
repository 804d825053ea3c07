"""Compares what was served with what training computes for the same moment."""
