"""The figures of multiplied neurons, one module per family, and their files.

This list is a plain literal so that a workflow can name the files without importing matplotlib.
"""

FAMILIES: dict[str, tuple[str, ...]] = {
    "factors": (
        "share_of_text",
        "perplexity_boosted",
    ),
}

# The reductions whose variables, merged into one Dataset, a family's functions are given.
REDUCTIONS: dict[str, tuple[str, ...]] = {
    "factors": ("boost",),
}
