"""The measures of the experts analysis: xarray or numpy in and out, no model, no file."""
