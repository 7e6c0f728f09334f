"""The figures of agreement between methods, one module per family, and their files.

This list is a plain literal so that a workflow can name the files without importing matplotlib.
"""

FAMILIES: dict[str, tuple[str, ...]] = {
    "overlap": (
        "agreement_by_language",
        "agreement_by_layer",
    ),
}

# The reductions whose variables, merged into one Dataset, a family's functions are given.
REDUCTIONS: dict[str, tuple[str, ...]] = {
    "overlap": ("agreement",),
}
