"""The figures of language-specific neurons by LAPE, one module per family, and their files.

This list is a plain literal so that a workflow can name the files without importing matplotlib.
"""

FAMILIES: dict[str, tuple[str, ...]] = {
    "neurons": (
        "language_neurons",
        "several_languages",
    ),
    "perplexity": ("perplexity_without",),
}

# The reductions whose variables, merged into one Dataset, a family's functions are given.
REDUCTIONS: dict[str, tuple[str, ...]] = {
    "neurons": ("neurons",),
    "perplexity": ("perplexity",),
}
