"""The figures of the roles paper, one module per family, and the list of their files.

Bhattacharya and Bojar, "Understanding the role of FFNs in driving multilingual behavior in LLMs".
This list is a plain literal so that a workflow can name the files without importing matplotlib.
"""

FAMILIES: dict[str, tuple[str, ...]] = {
    "frequency": (
        "figure_02_detector_activation_frequency",
        "figure_03_combinator_activation_frequency",
    ),
    "flatness": (
        "figure_04_detector_flatness",
        "figure_06_combinator_flatness",
    ),
    "heatmap": (
        "figure_05_detector_heatmap",
        "figure_07_combinator_heatmap",
        "figure_08_combinator_early_layer",
    ),
    "distance": (
        "figure_09_detector_distance",
        "figure_10_combinator_distance",
    ),
    "rsa": (
        "figure_11_combinator_model_similarity",
        "figure_11_detector_model_similarity",
    ),
    "rank_correlation": (
        "figure_12_detector_rank_correlation",
        "figure_12_detector_rank_correlation_pairs",
        "figure_13_combinator_rank_correlation",
        "figure_13_combinator_rank_correlation_pairs",
    ),
    "parallel_sets": (
        "figure_14_detector_same_language",
        "figure_15_combinator_same_language",
        "figure_16_overlap",
        "figure_17_detector_parallel_pairs",
        "figure_18_combinator_parallel_pairs",
    ),
}

# The reductions whose variables, merged into one Dataset, a family's functions are given.
REDUCTIONS: dict[str, tuple[str, ...]] = {
    "frequency": ("activation_frequency",),
    "flatness": ("flatness",),
    "heatmap": ("heatmap",),
    "distance": ("distance",),
    "rsa": ("rsa",),
    "rank_correlation": ("rank_correlation",),
    "parallel_sets": ("parallel_sets", "rank_correlation"),
}
