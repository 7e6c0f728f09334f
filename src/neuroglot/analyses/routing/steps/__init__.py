"""The steps of the routing analysis, one module per step."""
