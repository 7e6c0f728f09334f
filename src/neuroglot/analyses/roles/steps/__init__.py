"""The steps of the roles analysis, one module each: from inputs and settings to a dataset."""
