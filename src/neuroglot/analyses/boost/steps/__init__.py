"""The steps of the boost analysis, one module each: named inputs and settings to a dataset."""
