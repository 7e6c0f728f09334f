"""The tokens that the last layer's neurons write, and the languages of these tokens.

This follows a thesis on the neurons of NLLB-200's last feed-forward network. The tokens that a
neuron writes are read from its weights.
"""

from neuroglot import layout
from neuroglot.analyses.base import Analysis, FigureSet, Naming, Run, Scope, Step, StepSettings
from neuroglot.analyses.lexicon.settings import (
    AssociationInputs,
    AssociationSettings,
    CountsInputs,
    LexiconSettings,
    ProjectionInputs,
    ProjectionSettings,
)
from neuroglot.analyses.planning import labels, picked
from neuroglot.analyses.training import training_step


def _languages(run: Run, section: LexiconSettings) -> list[str]:
    return run.corpus_languages(section.corpus)


def _counts_inputs(run: Run, section: LexiconSettings, scope: Scope) -> CountsInputs:
    languages = _languages(run, section)
    texts = {language: layout.corpus(section.corpus, language) for language in languages}
    return CountsInputs(model=layout.model(scope.model), texts=texts)


def _counts_settings(run: Run, section: LexiconSettings, scope: Scope) -> StepSettings:
    return StepSettings(model=scope.model, languages=_languages(run, section))


def _projection_inputs(_run: Run, _section: LexiconSettings, scope: Scope) -> ProjectionInputs:
    return ProjectionInputs(model=layout.model(scope.model))


def _projection_settings(run: Run, section: LexiconSettings, scope: Scope) -> ProjectionSettings:
    return ProjectionSettings(
        model=scope.model,
        device=run.running(scope.model).device,
        **picked(section, ProjectionSettings),
    )


def _association_inputs(_run: Run, _section: LexiconSettings, scope: Scope) -> AssociationInputs:
    return AssociationInputs(
        counts=layout.reduction("lexicon", "counts", scope.model),
        projection=layout.reduction("lexicon", "projection", scope.model),
    )


def _association_settings(run: Run, section: LexiconSettings, scope: Scope) -> AssociationSettings:
    return AssociationSettings(
        model=scope.model,
        **labels(run, _languages(run, section)),
        **picked(section, AssociationSettings),
    )


LEXICON = Analysis(
    name="lexicon",
    encoders=True,
    mixtures=True,
    title="what the last layer writes",
    section=LexiconSettings,
    steps=(
        # One job for all languages: loading a tokenizer takes longer than counting one language.
        Step(
            "counts",
            "tokens of {model} counted in every language",
            _counts_inputs,
            _counts_settings,
        ),
        Step(
            "projection",
            "last layer of {model} projected to the vocabulary",
            _projection_inputs,
            _projection_settings,
            runs_model=True,
        ),
        Step(
            "association",
            "languages associated with the neurons of {model}",
            _association_inputs,
            _association_settings,
            tables=("neurons", "top_tokens", "prior"),
        ),
        training_step(
            "lexicon",
            "association",
            "entropy of the last layer's neurons",
            _languages,
        ),
    ),
    figures=(
        FigureSet(
            "neurons",
            (
                "figure_08_lowest_entropy_positive",
                "figure_10_lowest_entropy_negative",
                "figure_14_highest_entropy",
            ),
            ("association",),
            front=("figure_08_lowest_entropy_positive",),
        ),
        FigureSet("prior", ("section_5_1_prior",), ("association",)),
        FigureSet("coverage", ("entropy_and_coverage",), ("association",)),
        FigureSet("languages", ("language_tree",), ("association",)),
        FigureSet("training", ("entropy_in_training",), ("training",)),
    ),
    naming=(
        Naming(
            "lexicon",
            steps=("association",),
            languages=_languages,
            chosen_on=lambda section: section.corpus,
        ),
    ),
)
