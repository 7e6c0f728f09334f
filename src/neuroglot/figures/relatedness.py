"""Whether similar languages are those of a family, of a script, or with common tokens."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from pandas import DataFrame
from xarray import DataArray, Dataset

from neuroglot.figures import lines, points, sheets
from neuroglot.figures.findings import number
from neuroglot.figures.layers import LayerAxis
from neuroglot.figures.series import Look, Series
from neuroglot.figures.style import require
from neuroglot.measures.matrix_regression import PREDICTORS
from neuroglot.measures.significance import STAR
from neuroglot.tables import valued

STATISTICS = Series(
    "statistic",
    {
        "correlation": Look("correlation with it alone", "#777777", filled=False),
        "coefficient": Look("coefficient beside the others", "#332288"),
    },
)
LINES = Series(
    "predictor",
    {
        "family": Look("same family", "#332288"),
        "script": Look("same script", "#CC6677", (0, (5, 1.5))),
        "token_overlap": Look("token overlap", "#117733", (0, (1, 1))),
    },
)
STARRED = Series(
    "statistic",
    {
        **STATISTICS.looks,
        "star": Look(f"p < {STAR:g} by permuted languages, adjusted", "#777777", marker="*"),
    },
)
BESIDE = 0.13
"""Distance of a star from its point."""


def by_predictor(ds: Dataset, subject: str, panels: Series) -> Figure:
    """Draw correlations and standardised coefficients by predictor, one panel for each outcome.

    Args:
        ds: ``correlation(…, predictor)`` and ``coefficient``, each with ``_p_value``;
            ``compared_languages``: results of ``matrix_regression``.
        subject: words for the similarity in the title.
        panels: the similarities, along a dimension of ``ds``.
    """
    require(ds["correlation"], "no predictor that differs between pairs of languages")
    table = pd.concat([_values(ds, statistic) for statistic in STATISTICS], ignore_index=True)
    predictors = Series.of("predictor", PREDICTORS)
    figure = points.by_level(
        table, predictors, STATISTICS, "standardised", columns=panels, wide=True, legend=STARRED
    )
    for ax in figure.axes:
        ax.set_xlim(-1.2, 1.2)
    sheets.guide(figure.axes, 0, "x")
    return sheets.title(figure, ds, subject, _pairs(ds))


def by_layer(ds: Dataset, subject: str, word: str, rows: Series | None = None) -> Figure:
    """Draw correlations and standardised coefficients of each predictor through layers or states.

    Args:
        ds: ``layer_correlation(…, predictor)`` and ``layer_coefficient`` along ``word``;
            ``compared_languages``: results of ``regression_by_layer``.
        subject: words for the similarity in the title.
        word: ``layer`` or ``state``.
        rows: the similarities, along a further dimension of ``ds``.
    """
    require(ds["layer_correlation"], "no predictor that differs between pairs of languages")
    of_statistics = [
        valued(ds, f"layer_{statistic}").assign(statistic=statistic) for statistic in STATISTICS
    ]
    table = pd.concat(of_statistics, ignore_index=True)
    panels = Series.of("statistic", dict(zip(STATISTICS, STATISTICS.labels, strict=True)))
    axis = LayerAxis.of(ds, word)
    figure = lines.by_layer(table, axis, LINES, "standardised", rows, panels)
    sheets.guide(figure.axes, 0)
    return sheets.title(figure, ds, subject, _pairs(ds))


def _pairs(ds: Dataset) -> str:
    languages = int(ds["compared_languages"].max())
    pairs = languages * (languages - 1) // 2
    return f"{pairs} pairs of {languages} languages; positive: more similar"


def finding(ds: Dataset, panels: Series) -> str:
    """Say which predictors' coefficients are told from chance.

    Args:
        ds: see ``by_predictor``; after ``by_layer``, this is of the mean over layers.
        panels: the similarities, along a dimension of ``ds``.
    """
    require(ds["correlation"], "no predictor that differs between pairs of languages")
    languages, p = int(ds["compared_languages"].max()), ds["coefficient_p_value"]
    if not p.notnull().any():
        return (
            f"With {languages} languages, no test of family, script or token overlap beside one "
            f"another could reach p < {STAR:g}."
        )
    names = [PREDICTORS[predictor] for predictor in _some(p.notnull())]
    stars = _some(p < STAR)
    if not stars:
        which = " or ".join(names)
        return f"With {languages} languages, no coefficient of {which} is told from chance."
    told = []
    for predictor in stars:
        of_predictor = ds.sel(predictor=predictor)
        starred = of_predictor["coefficient_p_value"] < STAR
        values = of_predictor["coefficient"].where(starred).sel({panels.column: [*panels]})
        of_panels = [
            f"{label.splitlines()[0]} {number(value, '.2f')}"
            for label, value in zip(panels.labels, values, strict=True)
            if value.notnull()
        ]
        told.append(f"{PREDICTORS[predictor]} ({', '.join(of_panels)})")
    return (
        f"With {languages} languages, these coefficients beside the other predictors are told from "
        f"chance: {'; '.join(told)}."
    )


def _some(marked: DataArray) -> list[str]:
    """The predictors that are marked for any similarity."""
    anywhere = marked.any([name for name in marked.dims if name != "predictor"])
    return [str(predictor) for predictor in anywhere["predictor"].values[anywhere.values]]


def _values(ds: Dataset, statistic: str) -> DataFrame:
    table = valued(ds, statistic).assign(statistic=statistic)
    p = valued(ds, f"{statistic}_p_value").rename(columns={"value": "p"})
    table = table.merge(p, how="left")
    beside = table["value"] + np.where(table["value"] < 0, -BESIDE, BESIDE)
    return table.assign(star=beside.where(table["p"] < STAR))
