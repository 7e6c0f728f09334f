"""The steps of the roles analysis, one module each: named inputs and settings to a dataset."""
