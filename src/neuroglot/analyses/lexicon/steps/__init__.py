"""The steps of the lexicon analysis, one module each: named inputs and settings to a dataset."""
