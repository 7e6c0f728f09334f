"""The steps of the experts analysis, one module each: named inputs and settings to a dataset."""
