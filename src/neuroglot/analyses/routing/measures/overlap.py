"""How far two languages are routed to the same experts."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from neuroglot.analyses.routing.measures.shares import Values, shares
from neuroglot.measures.bootstrap import bounded
from neuroglot.measures.halves import across_halves


def overlap(chosen: xr.DataArray, replicates: int, seed: int = 0) -> dict[str, xr.DataArray]:
    """Measure the overlap of two languages' shares: Σ_e min(f_a(e), f_b(e)), mean over layers.

    It is 1 if all experts get the same share of both languages' tokens, and 0 if no expert serves
    both; it is 1 minus the total variation distance. Languages are compared by
    ``halves.across_halves``, a on one half of the segments, b on the other, and the reverse. On the
    diagonal are a language's own halves: as much as two texts of one language overlap.

    Args:
        chosen: tokens routed to each expert, [language, fold, layer, expert], of equally many
            tokens of each language (``halves.equal_tokens``).
        replicates: resamples of the folds, the same for all languages.
        seed: seed of splits and resamples.

    Returns:
        ``overlap(language_a, language_b)``, with ``_low`` and ``_high``; NaN where a language has
        no tokens.
    """

    def compared(first: Sequence[Values], second: Sequence[Values]) -> Values:
        p, q = shares(first[0]), shares(second[0])
        rows = [np.minimum(p[:, [a]], q).sum(-1).mean(-1) for a in range(p.shape[1])]
        one_way = np.stack(rows, axis=1)  # [replicate, a, b]
        both: Values = (one_way + one_way.swapaxes(1, 2)) / 2
        return both

    ordered = chosen.transpose("language", "fold", "layer", "expert")
    counts = ordered.to_numpy().astype(np.float64)
    estimate, bounds = across_halves([counts], compared, replicates, seed)
    languages = ordered["language"].to_numpy()
    values = xr.DataArray(
        estimate,
        {"language_a": languages, "language_b": languages},
        ("language_a", "language_b"),
        attrs={"units": "share of tokens' experts"},
    )
    return bounded("overlap", values, np.clip(bounds, 0, 1))
