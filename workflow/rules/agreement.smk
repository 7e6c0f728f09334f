"""Whether the methods that name a language's neurons name the same ones."""

from neuroglot.analyses import NAMING_METHODS
from neuroglot.figures import agreement as agreement_figures


def named_in(analysis):
    """The reductions of an analysis that say which neurons it names."""
    return {
        "lape": lambda: ["results/lape/{m}/neurons"],
        "sharing": lambda: ["results/sharing/{m}/kinds"],
        "transfer": lambda: ["results/transfer/{m}/neurons"],
        "experts": lambda: ["results/experts/{m}/frequency", *partition_places()],
        "lexicon": lambda: ["results/lexicon/{m}/association"],
    }[analysis]()


def naming(methods, wildcards):
    """What says which neurons some methods name in a model."""
    analyses = dict.fromkeys(NAMING_METHODS[method] for method in methods)
    places = [place for analysis in analyses for place in named_in(analysis)]
    return [model_card(wildcards), *complete(places, wildcards)]


if settings.agreement:
    plan(
        [
            Reduction(
                paper="agreement",
                name="agreement",
                place="results/agreement/{m}/agreement",
                inputs=lambda wildcards: naming(settings.naming_methods, wildcards),
                settings=lambda wildcards: {
                    **only(settings.agreement, "top_fraction", "minimum_methods"),
                    **analysed(settings.agreement_languages),
                    **running(),
                    "methods": settings.naming_methods,
                    "model": wildcards.m,
                },
                tables=("agreement", "neurons"),
                runs_model=True,
                message="agreement: neurons of {wildcards.m} that methods name alike",
            ),
        ],
        agreement_figures,
    )
