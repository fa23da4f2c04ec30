"""Annotations and quality flags on an observatory's data."""

__version__ = "0.1.0"
