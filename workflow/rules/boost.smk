"""Text that models write with a language's neurons multiplied, and what it costs them."""

from neuroglot.analyses import NAMING_METHODS
from neuroglot.figures import boost as boost_figures


def boost_texts(wildcards):
    """Held-out text, and the text that neurons were chosen on, which must not share a segment."""
    languages = dict.fromkeys([*settings.boost_languages, settings.pivot])
    section = getattr(settings, NAMING_METHODS[settings.boost.method])
    chosen_on = getattr(section, "corpus", None)
    return [
        TOKENS.format(m=wildcards.m, c=corpus, l=language)
        for corpus in filter(None, (settings.perplexity.corpus, chosen_on))
        for language in languages
        if language in settings.corpus_languages(corpus)
    ]


if settings.boost:
    plan(
        [
            Reduction(
                paper="boost",
                name="boost",
                place="results/boost/{m}/boost",
                inputs=lambda wildcards: [
                    *naming([settings.boost.method], wildcards),
                    *boost_texts(wildcards),
                ],
                settings=lambda wildcards: {
                    **settings.boost.model_dump(mode="json"),
                    **analysed(settings.boost_languages),
                    **running(),
                    "perplexity": settings.perplexity.model_dump(),
                    "pivot": settings.pivot,
                    "model": wildcards.m,
                },
                tables=("boost", "continuations"),
                runs_model=True,
                passes=2 * len(settings.boost.factors) * len(settings.boost_languages),
                runtime=240,
                message="boost: {wildcards.m} with a language's neurons multiplied",
            ),
        ],
        boost_figures,
    )
