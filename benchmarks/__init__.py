"""Measurements that are run by hand; each prints its versions and its date."""
