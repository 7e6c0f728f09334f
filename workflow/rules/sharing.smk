"""Neurons that languages share when a model answers the same question, and what they do."""

from neuroglot.figures import sharing as sharing_figures

if settings.sharing:
    SHARING = settings.sharing
    SHARING_TASKS = SHARING.tasks
    SHOWN_TASKS = list(dict.fromkeys([*SHARING.tasks, *SHARING.few_shot]))
    SHARING_LANGUAGES = settings.corpus_languages(*SHOWN_TASKS)

    plan(
        [
            Reduction(
                paper="sharing",
                name="kinds",
                place="results/sharing/{m}/kinds",
                inputs=lambda wildcards: over(SHOWN_TASKS, PROMPTED, m=wildcards.m),
                settings=lambda wildcards: {
                    **only(
                        SHARING,
                        "threshold",
                        "thresholds",
                        "language_counts",
                        "replicates",
                    ),
                    **analysed(SHARING_LANGUAGES),
                    "tasks": SHOWN_TASKS,
                    "model": wildcards.m,
                },
                tables=(
                    "kinds",
                    "active",
                    "kinds_by_threshold",
                    "kinds_by_languages",
                    "specific_repeating",
                ),
                message="sharing: kinds of neurons of {wildcards.m}",
            ),
            Reduction(
                paper="sharing",
                name="contributions",
                place="results/sharing/{m}/contributions",
                inputs=lambda wildcards: [
                    model_card(wildcards),
                    *over(SHARING_TASKS, PROMPTED, m=wildcards.m),
                ],
                settings=lambda wildcards: {
                    **only(SHARING, "threshold", "top_fraction", "replicates"),
                    **analysed(settings.corpus_languages(*SHARING_TASKS)),
                    "tasks": SHARING_TASKS,
                    "model": wildcards.m,
                },
                tables=("contributions", "contributions_of_languages"),
                message="sharing: contributions of neurons of {wildcards.m}",
            ),
            Reduction(
                paper="sharing",
                name="effective",
                place="results/sharing/{m}/effective",
                inputs=lambda wildcards: [
                    model_card(wildcards),
                    *over(SHARING_TASKS, PROMPTED, m=wildcards.m),
                    *over(SHARING_TASKS, ITEMS),
                ],
                settings=lambda wildcards: {
                    **only(SHARING, "threshold", "replicates"),
                    **analysed(settings.corpus_languages(*SHARING_TASKS)),
                    "tasks": SHARING_TASKS,
                    "model": wildcards.m,
                },
                tables=("effective_scores", "effective_by_layer"),
                message="sharing: effective scores of neurons of {wildcards.m}",
            ),
            # A job for each task: together they are the longest work there is.
            Reduction(
                paper="sharing",
                name="answers",
                place="results/sharing/{m}/answers/{t}",
                inputs=lambda wildcards: [
                    model_card(wildcards),
                    *over([wildcards.t], PROMPTED, m=wildcards.m),
                    *over([wildcards.t], ITEMS),
                ],
                settings=lambda wildcards: {
                    **only(
                        SHARING,
                        "threshold",
                        "positions",
                        "converted_offset",
                        "random_seeds",
                        "replicates",
                    ),
                    **analysed(settings.corpus_languages(wildcards.t)),
                    **running(),
                    "task": wildcards.t,
                    "scoring": settings.tasks[wildcards.t].scoring,
                    "model": wildcards.m,
                },
                runs_model=True,
                passes=8 * (1 + SHARING.random_seeds),
                message="sharing: answers of {wildcards.m} to {wildcards.t} without neurons",
            ),
            Reduction(
                paper="sharing",
                name="interventions",
                place="results/sharing/{m}/interventions",
                inputs=lambda wildcards: [
                    f"results/sharing/{wildcards.m}/answers/{task}.zarr/complete.json"
                    for task in SHARING_TASKS
                ],
                settings=lambda wildcards: {
                    **only(SHARING, "positions", "random_seeds"),
                    **analysed(settings.corpus_languages(*SHARING_TASKS)),
                    "tasks": SHARING_TASKS,
                    "model": wildcards.m,
                },
                tables=("accuracy", "log_probability"),
                message="sharing: {wildcards.m} without and with converted neurons",
            ),
            Reduction(
                paper="sharing",
                name="comparison",
                place="results/sharing/comparison",
                inputs=lambda wildcards: [
                    f"results/sharing/{model}/kinds.zarr/complete.json"
                    for model in settings.models
                ],
                settings=lambda wildcards: {
                    **only(SHARING, "few_shot"),
                    **analysed(SHARING_LANGUAGES),
                    "shots": {task: settings.tasks[task].shots for task in SHOWN_TASKS},
                    "models": list(settings.models),
                },
                message="sharing: kinds of neurons between all models",
            ),
        ],
        sharing_figures,
    )

    # A language's prompts are recorded in one job for all its tasks: loading the model takes longer
    # than reading them.
    PROMPTS = tasks_of_languages(SHOWN_TASKS)
else:
    PROMPTS = {}

for number, (tasks, languages) in enumerate(PROMPTS.items(), 1):

    rule:
        name:
            f"prompts_{number}"
        input:
            card=model_card,
            tasks=expand(ITEMS, t=tasks, allow_missing=True),
        output:
            # A task that is added or changed leaves the others' recordings as they are.
            update(expand(PROMPTED, t=tasks, allow_missing=True)),
        log:
            "results/logs/prompts/{m}/{l}.log",
        wildcard_constraints:
            l="|".join(languages),
        threads: 1
        resources:
            mem_mb=needs.model_memory,
            runtime=needs.model_time(),
            gpu=needs.gpus,
            gres=needs.gres,
            execution=dumped(settings.execution),
        params:
            settings=dumped(settings.capture),
            site=settings.sharing.site,
            code=fingerprint("neuroglot.capture.record"),
        message:
            "activations of {wildcards.m} at the end of the prompts in {wildcards.l}"
        shell:
            "OMP_NUM_THREADS={threads} neuroglot --gpus {resources.gpu} prompts"
            " --model results/models/{wildcards.m}"
            " {input.tasks:q} --site {params.site} --settings {params.settings:q}"
            " --execution {resources.execution:q} --output results/activations/{wildcards.m}"
            " 2>&1 | tee {log}"
