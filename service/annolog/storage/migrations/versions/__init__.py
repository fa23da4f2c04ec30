"""Versions of the schema, oldest first; one is never changed after a release."""
