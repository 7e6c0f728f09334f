"""Reductions of the experts analysis: each reads stores, calls measures and gives a dataset."""
