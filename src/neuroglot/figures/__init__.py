"""Shared parts of the analyses' figures, which are functions from a Dataset to a Figure."""
