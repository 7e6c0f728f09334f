"""The measures of the lexicon analysis: xarray or numpy in and out, no model, no file."""
