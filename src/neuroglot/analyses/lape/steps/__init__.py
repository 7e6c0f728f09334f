"""The steps of the lape analysis, one module each: named inputs and settings to a dataset."""
