"""The figures of the lexicon paper, one module per family, and the list of their files.

The paper is a thesis on the neurons of the last feed-forward network of NLLB-200: what they write,
read off their weights.
This list is a plain literal so that a workflow can name the files without importing matplotlib.
"""

FAMILIES: dict[str, tuple[str, ...]] = {
    "neurons": (
        "figure_08_lowest_entropy_positive",
        "figure_10_lowest_entropy_negative",
        "figure_14_highest_entropy",
    ),
    "prior": ("section_5_1_prior",),
    "coverage": ("entropy_and_coverage",),
    "languages": ("language_tree",),
}

# The reductions whose variables, merged into one Dataset, a family's functions are given.
REDUCTIONS: dict[str, tuple[str, ...]] = {
    "neurons": ("association",),
    "prior": ("association",),
    "coverage": ("association",),
    "languages": ("association",),
}
