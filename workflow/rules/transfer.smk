"""Neurons that move a language's states into a space shared with the pivot, and out of it."""

from neuroglot.figures import transfer as transfer_figures

if settings.transfer:
    TRANSFER = settings.transfer
    TRANSFER_LANGUAGES = settings.corpus_languages(TRANSFER.corpus)
    TRANSFER_PAIRED = settings.transfer_languages(TRANSFER.corpus)

    def transfer_states(wildcards):
        return over([TRANSFER.corpus], STATES, m=wildcards.m)

    def transfer_neurons(wildcards):
        return complete(["results/transfer/{m}/neurons"], wildcards)

    def transfer_settings(wildcards, *keys):
        return {
            **only(TRANSFER, *keys),
            **analysed(TRANSFER_LANGUAGES),
            "pivot": settings.pivot,
            "model": wildcards.m,
        }

    plan(
        [
            Reduction(
                paper="transfer",
                name="neurons",
                place="results/transfer/{m}/neurons",
                inputs=lambda wildcards: [
                    model_card(wildcards),
                    *transfer_states(wildcards),
                ],
                settings=lambda wildcards: transfer_settings(
                    wildcards, "pool", "type1_layers", "top_n", "top_fraction"
                ),
                tables=("neurons",),
                files=("neurons.json",),
                message="transfer: neurons of {wildcards.m} between latent spaces",
            ),
            Reduction(
                paper="transfer",
                name="space",
                place="results/transfer/{m}/space",
                inputs=transfer_states,
                settings=lambda wildcards: transfer_settings(
                    wildcards, "pool", "k", "variances", "replicates"
                ),
                tables=("distances", "components", "similarity"),
                message="transfer: latent spaces of {wildcards.m}",
            ),
            Reduction(
                paper="transfer",
                name="deactivation",
                place="results/transfer/{m}/deactivation",
                inputs=lambda wildcards: [
                    model_card(wildcards),
                    *transfer_neurons(wildcards),
                    *transfer_states(wildcards),
                    *(
                        TEXT.format(c=TRANSFER.corpus, l=language)
                        for language in TRANSFER_PAIRED
                    ),
                ],
                settings=lambda wildcards: {
                    **transfer_settings(
                        wildcards,
                        "pool",
                        "k",
                        "positions",
                        "random_seeds",
                        "replicates",
                    ),
                    **running(),
                },
                tables=("deactivation", "deactivation_knn"),
                runs_model=True,
                passes=2 + TRANSFER.random_seeds,
                message="transfer: {wildcards.m} without its neurons into the shared space",
            ),
            Reduction(
                paper="transfer",
                name="correlation",
                place="results/transfer/{m}/correlation",
                inputs=lambda wildcards: [
                    *transfer_neurons(wildcards),
                    *transfer_states(wildcards),
                ],
                settings=lambda wildcards: transfer_settings(
                    wildcards, "tops", "random_seeds"
                ),
                tables=("correlation",),
                message="transfer: neurons of {wildcards.m} that tell languages and families",
            ),
            Reduction(
                paper="transfer",
                name="tasks",
                place="results/transfer/{m}/tasks",
                inputs=lambda wildcards: [
                    model_card(wildcards),
                    *transfer_neurons(wildcards),
                    *(
                        ITEMS.format(t=task, l=language)
                        for task in TRANSFER.tasks
                        for language in settings.transfer_languages(task)
                    ),
                ],
                settings=lambda wildcards: {
                    **only(
                        TRANSFER, "task_positions", "task_random_seeds", "replicates"
                    ),
                    **analysed(settings.transfer_languages(*TRANSFER.tasks)),
                    **running(),
                    "tasks": TRANSFER.tasks,
                    "scorings": {
                        task: settings.tasks[task].scoring for task in TRANSFER.tasks
                    },
                    "model": wildcards.m,
                },
                tables=("tasks",),
                runs_model=True,
                passes=3 + 2 * TRANSFER.task_random_seeds,
                message="transfer: answers of {wildcards.m} without either type of neuron",
            ),
            Reduction(
                paper="transfer",
                name="harness",
                place="results/transfer/{m}/harness",
                inputs=lambda wildcards: [
                    model_card(wildcards),
                    *transfer_neurons(wildcards),
                ],
                settings=lambda wildcards: {
                    **only(TRANSFER, "harness", "random_seeds"),
                    **running(),
                    "model": wildcards.m,
                },
                tables=("harness",),
                runs_model=True,
                runtime=720,
                message="transfer: tasks of the harness by {wildcards.m} without neurons",
            ),
        ],
        transfer_figures,
        [
            *(() if TRANSFER.tasks else ["tasks"]),
            *(() if TRANSFER.harness else ["harness"]),
        ],
    )
