"""The figures of the experts paper, one module per family, and the list of their files.

Liu et al., "Unraveling Babel: Exploring multilingual activation patterns within large language
models".
This list is a plain literal so that a workflow can name the files without importing matplotlib.
"""

FAMILIES: dict[str, tuple[str, ...]] = {
    "frequency": ("figure_01_expert_frequency",),
    "similarity": (
        "figure_02_euclidean",
        "figure_05_kl_divergence",
        "figure_06_pearson",
    ),
    "shared": ("figure_03_shared_experts",),
    "specific": ("specific_experts",),
    "inference": (
        "table_04_perplexity",
        "sliced_speed",
    ),
}

# The reductions whose variables, merged into one Dataset, a family's functions are given.
REDUCTIONS: dict[str, tuple[str, ...]] = {
    "frequency": ("frequency",),
    "similarity": ("frequency",),
    "shared": ("frequency",),
    "specific": ("frequency",),
    "inference": ("inference",),
}
