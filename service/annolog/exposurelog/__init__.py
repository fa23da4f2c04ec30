"""The API of exposurelog, as its clients know it, on annolog's data."""
