"""Language-specific neurons by activation-probability entropy, and doing without them."""

from neuroglot.figures import lape as lape_figures

if settings.lape:
    LAPE = settings.lape
    LAPE_LANGUAGES = settings.corpus_languages(LAPE.corpus)
    LAPE_HELD_OUT = settings.held_out_languages(LAPE.corpus)

    plan(
        [
            Reduction(
                paper="lape",
                name="neurons",
                place="results/lape/{m}/neurons",
                inputs=lambda wildcards: over(
                    [LAPE.corpus], ACTIVATIONS, m=wildcards.m, group="firing"
                ),
                settings=lambda wildcards: {
                    **only(
                        LAPE,
                        "site",
                        "percentile",
                        "top_fraction",
                        "replicates",
                        "permutations",
                    ),
                    **analysed(LAPE_LANGUAGES),
                    "model": wildcards.m,
                },
                tables=("neurons",),
                files=("language_neurons.json", "language_neurons.pt"),
                message="lape: language-specific neurons of {wildcards.m}",
            ),
            Reduction(
                paper="lape",
                name="perplexity",
                place="results/lape/{m}/perplexity",
                inputs=lambda wildcards: [
                    model_card(wildcards),
                    *complete(["results/lape/{m}/neurons"], wildcards),
                    *held_out_tokens(wildcards, LAPE.corpus, LAPE_HELD_OUT),
                ],
                settings=lambda wildcards: {
                    **only(LAPE, "random_seeds", "replicates"),
                    **analysed(LAPE_HELD_OUT),
                    **running(),
                    "perplexity": settings.perplexity.model_dump(),
                    "model": wildcards.m,
                },
                tables=("perplexity",),
                runs_model=True,
                passes=(1 + LAPE.random_seeds) * len(LAPE_HELD_OUT),
                message="lape: {wildcards.m} without a language's neurons",
            ),
        ],
        lape_figures,
        needs_held_out("perplexity"),
    )
