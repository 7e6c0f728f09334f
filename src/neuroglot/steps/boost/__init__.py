"""Reductions of the boost analysis: each reads stores, calls measures and gives a dataset."""
