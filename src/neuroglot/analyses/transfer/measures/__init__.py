"""The measures of the transfer analysis: xarray or numpy in and out, no model, no file."""
