"""Wiring: which topics feed which processor, and where its outcomes go."""
