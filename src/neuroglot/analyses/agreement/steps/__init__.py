"""The steps of the agreement analysis, one module each: named inputs and settings to a dataset."""
