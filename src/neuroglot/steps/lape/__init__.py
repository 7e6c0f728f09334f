"""Reductions of the lape analysis: each reads stores, calls measures and gives a dataset."""
