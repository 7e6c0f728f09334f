"""Reductions of the agreement analysis: each reads stores, calls measures and gives a dataset."""
