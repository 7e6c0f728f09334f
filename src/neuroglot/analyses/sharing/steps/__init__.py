"""The steps of the sharing analysis, one module each: named inputs and settings to a dataset."""
