"""The figures of the sharing paper, one module per family, and the list of their files.

Wang et al., "Sharing matters: analysing neurons across languages and tasks in LLMs".
This list is a plain literal so that a workflow can name the files without importing matplotlib.
"""

FAMILIES: dict[str, tuple[str, ...]] = {
    "kinds": (
        "figures_02_04_11_18_kinds",
        "figure_05_behaviour_repeating",
        "figure_06_dead",
        "figure_19_language_count",
        "figure_22_threshold",
    ),
    "contributions": (
        "figures_08_23_26_top",
        "figure_09_contribution",
    ),
    "effective": (
        "figures_10_27_29_effective",
        "tables_01_04_effective",
    ),
    "interventions": (
        "tables_02_05_06_accuracy",
        "table_03_converted",
        "log_probability_without",
        "log_probability_converted",
    ),
    "comparison": (
        "figures_07_20_models",
        "figure_21_few_shot",
    ),
}

# The reductions whose variables, merged into one Dataset, a family's functions are given.
REDUCTIONS: dict[str, tuple[str, ...]] = {
    "kinds": ("kinds",),
    "contributions": ("contributions", "kinds"),
    "effective": ("effective",),
    "interventions": ("interventions",),
    "comparison": ("comparison",),
}
