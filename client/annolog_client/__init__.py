"""The Python client of annolog."""

from importlib.metadata import version

__all__ = ["__version__"]

__version__ = version("annolog")
"""The version of the distribution, which client and service share."""
