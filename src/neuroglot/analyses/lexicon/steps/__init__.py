"""The steps of the lexicon analysis, one module each: from inputs and settings to a dataset."""
