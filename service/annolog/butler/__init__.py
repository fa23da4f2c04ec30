"""Butlers: asked in a child process each, brought into the log in bulk."""
