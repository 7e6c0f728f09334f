"""The figures of the transfer paper, one module per family, and the list of their files.

Tezuka and Inoue, "The transfer neurons hypothesis: an underlying mechanism for language latent
space transitions in multilingual LLMs". This list is a plain literal so that a workflow can name
the files without importing matplotlib.
"""

FAMILIES: dict[str, tuple[str, ...]] = {
    "neurons": ("neurons_by_layer",),
    "latent_spaces": (
        "principal_coordinates",
        "principal_components",
        "centroid_similarity",
    ),
    "alignment": (
        "mutual_knn",
        "parallel_similarity",
    ),
    "deactivation": (
        "similarity_without_type1",
        "mutual_knn_without_type1",
        "effect_of_type1",
    ),
    "correlation": ("correlation_ratio",),
    "tasks": (
        "task_accuracy",
        "task_log_probability",
    ),
}

# The reductions whose variables, merged into one Dataset, a family's functions are given.
REDUCTIONS: dict[str, tuple[str, ...]] = {
    "neurons": ("neurons",),
    "latent_spaces": ("space",),
    "alignment": ("space",),
    "deactivation": ("deactivation",),
    "correlation": ("correlation",),
    "tasks": ("tasks",),
}
