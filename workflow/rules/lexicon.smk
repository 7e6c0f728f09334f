"""The lexicon paper: tokens counted in many languages, and the last layer's projection to them."""

from neuroglot.figures import lexicon as lexicon_figures

if settings.lexicon:
    LEXICON = settings.lexicon
    LEXICON_LANGUAGES = settings.corpus_languages(LEXICON.corpus)
    COUNTS = f"results/lexicon/{{m}}/counts"
    PROJECTION = f"results/lexicon/{{m}}/projection"

    plan(
        [
            # One job for all languages: reading a tokenizer takes longer than counting one of them.
            Reduction(
                paper="lexicon",
                name="counts",
                place=COUNTS,
                inputs=lambda wildcards: [
                    model_card(wildcards),
                    *over([LEXICON.corpus], TEXT),
                ],
                settings=lambda wildcards: {"languages": LEXICON_LANGUAGES},
                message="lexicon: tokens of {wildcards.m} counted in every language",
            ),
            Reduction(
                paper="lexicon",
                name="projection",
                place=PROJECTION,
                inputs=lambda wildcards: [model_card(wildcards)],
                settings=lambda wildcards: {
                    **only(LEXICON, "top_tokens", "fold_final_norm"),
                    **running(),
                },
                runs_model=True,
                message="lexicon: last layer of {wildcards.m} projected to the vocabulary",
            ),
            Reduction(
                paper="lexicon",
                name="association",
                place="results/lexicon/{m}/association",
                inputs=lambda wildcards: complete([COUNTS, PROJECTION], wildcards),
                settings=lambda wildcards: {
                    **only(LEXICON, "minimum_coverage", "drawn_neurons", "replicates"),
                    **analysed(LEXICON_LANGUAGES),
                    "model": wildcards.m,
                },
                tables=("neurons", "top_tokens", "prior"),
                message="lexicon: languages associated with the neurons of {wildcards.m}",
            ),
        ],
        lexicon_figures,
    )
