"""The experts paper: clusters of neurons, how often languages use them, and doing without some."""

from neuroglot.figures import experts as experts_figures

EXPERTS = settings.experts
ROUTING = "results/experts/{m}/routing/{l}"


def partition_places():
    return [
        f"results/experts/{{m}}/partition/{block}"
        for block in range(EXPERTS.clustering_jobs)
    ]


def routing_inputs(wildcards):
    source = (
        [ACTIVATIONS]
        if EXPERTS.scores_from == "rows"
        else ["results/models/{m}/card.json", TOKENS]
    )
    return complete(partition_places(), wildcards) + [
        path.format(m=wildcards.m, c=EXPERTS.corpus, l=wildcards.l, group="rows")
        for path in source
    ]


def routing_settings(wildcards):
    own = only(EXPERTS, "experts_per_layer", "score", "active_fraction")
    return own if EXPERTS.scores_from == "rows" else {**own, **running()}


def routings(wildcards, languages):
    return [
        f"{ROUTING}.zarr/complete.json".format(m=wildcards.m, l=language)
        for language in languages
    ]


if EXPERTS:
    EXPERTS_LANGUAGES = settings.corpus_languages(EXPERTS.corpus)
    EXPERTS_HELD_OUT = settings.held_out_languages(EXPERTS.corpus)

    plan(
        [
            Reduction(
                paper="experts",
                name="partition",
                place="results/experts/{m}/partition/{block}",
                inputs=lambda wildcards: [model_card(wildcards)],
                settings=lambda wildcards: {
                    **only(EXPERTS, "experts_per_layer", "seed"),
                    "block": int(wildcards.block),
                    "blocks": EXPERTS.clustering_jobs,
                },
                runtime=720,
                message="experts: neurons of {wildcards.m} clustered, block {wildcards.block}",
            ),
            Reduction(
                paper="experts",
                name="routing",
                place=ROUTING,
                inputs=routing_inputs,
                settings=routing_settings,
                runs_model=EXPERTS.scores_from == "forward",
                message="experts: active experts of {wildcards.m} reading {wildcards.l}",
            ),
            Reduction(
                paper="experts",
                name="frequency",
                place="results/experts/{m}/frequency",
                inputs=lambda wildcards: routings(wildcards, EXPERTS_LANGUAGES),
                settings=lambda wildcards: {
                    **only(EXPERTS, "high_frequency", "replicates"),
                    **analysed(EXPERTS_LANGUAGES),
                    "model": wildcards.m,
                },
                tables=(
                    "frequency",
                    "similarity",
                    "shared_experts",
                    "specific_experts",
                    "specific_by_layer",
                ),
                message="experts: frequency and similarity of languages in {wildcards.m}",
            ),
            Reduction(
                paper="experts",
                name="inference",
                place="results/experts/{m}/inference",
                inputs=lambda wildcards: [
                    model_card(wildcards),
                    *complete(partition_places(), wildcards),
                    *routings(wildcards, EXPERTS_HELD_OUT),
                    *held_out_tokens(wildcards, EXPERTS.corpus, EXPERTS_HELD_OUT),
                ],
                settings=lambda wildcards: {
                    **only(
                        EXPERTS,
                        "high_frequency",
                        "random_seeds",
                        "speed_rounds",
                        "prompt_tokens",
                        "continuation_tokens",
                        "replicates",
                    ),
                    **analysed(EXPERTS_HELD_OUT),
                    **running(),
                    "perplexity": settings.perplexity.model_dump(),
                    "model": wildcards.m,
                },
                tables=("perplexity", "speed", "continuations"),
                runs_model=True,
                passes=2 * (2 + EXPERTS.random_seeds),
                message="experts: {wildcards.m} with high-frequency experts only",
            ),
        ],
        experts_figures,
        needs_held_out("inference"),
    )
