"""The measures of the roles analysis: xarray or numpy in and out, no model, no file."""
