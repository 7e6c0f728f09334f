"""Section 5.1: the neurons' most associated languages under each prior."""

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from xarray import Dataset

from neuroglot.analyses.lexicon.figures.notes import text_of
from neuroglot.figures import points, series, sheets
from neuroglot.figures.series import Look, Series
from neuroglot.figures.style import Drawing, require
from neuroglot.tables import valued

MOST = 20
LACKING = "no top token of any neuron is in the text"
PRIORS = Series(
    "prior",
    {
        "uniform": Look("neurons, uniform prior", "#4477AA"),
        "corpus": Look("neurons, corpus prior", "#EE6677", marker="D", filled=False),
        "tokens": Look("the text's tokens", "#228833", marker="^"),
    },
)


def prior(ds: Dataset) -> Figure:
    """Share of neurons by most associated language, against the language's share of the text.

    Args:
        ds: ``top_language_share(prior, language)``, a share of the neurons of both signs, with
            ``_low`` and ``_high``; ``tokens(language)``, the counted tokens.
    """
    require(ds["top_language_share"], LACKING)
    largest = ds["top_language_share"].max("prior").to_series().sort_values(ascending=False)
    looks = series.languages(ds).looks
    levels = Series("language", {language: looks[language] for language in largest.index[:MOST]})
    tokens = (ds["tokens"] / ds["tokens"].sum()).to_series().rename("value").reset_index()
    table = pd.concat([valued(ds, "top_language_share"), tokens.assign(prior="tokens")])
    table = table[table["language"].isin([*levels])]
    figure = points.by_level(table, levels, PRIORS, "share of neurons or tokens")
    sheets.as_shares(figure.axes, "x", whole=False)
    figure.axes[0].set_xlim(left=0)
    figure.axes[0].xaxis.set_major_locator(MaxNLocator(4))
    subject = f"neurons' first languages, {len(levels)} drawn"
    return sheets.title(figure, ds, subject, f"{text_of(ds)}; lines: 95 % intervals")


def finding(ds: Dataset) -> str:
    """Say how much the priors differ, and how unequal the texts are."""
    shares, tokens = ds["top_language_share"], ds["tokens"]
    require(shares, LACKING)
    apart = abs(shares.sel(prior="uniform") - shares.sel(prior="corpus"))
    name = series.languages(ds).label(str(apart.idxmax("language").values))
    return (
        f"The two priors differ by at most {100 * float(apart.max()):.1f} percentage points of the "
        f"neurons ({name}), where the largest text has {float(tokens.max() / tokens.min()):.1f} "
        "times the tokens of the smallest: with equal texts both priors are the same."
    )


FIGURES = {"section_5_1_prior": Drawing(prior, finding)}
