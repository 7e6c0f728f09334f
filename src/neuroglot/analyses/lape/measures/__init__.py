"""The measures of the lape analysis: xarray or numpy in and out, no model, no file."""
