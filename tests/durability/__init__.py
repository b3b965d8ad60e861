"""Commits that return once they are safe."""
