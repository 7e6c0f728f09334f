"""Reductions of the lexicon analysis: each reads stores, calls measures and gives a dataset."""
