"""The Python client of annolog."""

from importlib.metadata import PackageNotFoundError, version

__all__ = ["__version__"]

try:
    __version__ = version("annolog")
    """The version of the distribution, which client and service share."""
except PackageNotFoundError:
    # Run from its sources, without being installed.
    __version__ = "0+sources"
