"""Reads how the tokens of a text were routed, by language and fold of segments."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import xarray as xr

from neuroglot.capture.recorded import Recorded, open_recorded, with_common_segments
from neuroglot.measures.axes import along

CONFIDENCE = ("router_top", "router_margin", "router_entropy")
"""What is known of the router's probabilities at a token."""


def read_routing(paths: Iterable[Path], languages: list[str]) -> xr.Dataset:
    """Read the sums of the languages' recordings over the segments that all of them have.

    Returns:
        ``chosen(language, fold, layer, expert)``, tokens routed to each expert, int64;
        ``tokens(language, fold)``; and the sums over tokens of each of ``CONFIDENCE``, (language,
        fold, layer). ``layer`` has the layers with routed experts, and a fold has the same segments
        in every language.
    """
    recorded = {one.language: one for one in with_common_segments(open_recorded(paths))}
    return along("language", {language: _sums(recorded[language]) for language in languages})


def _sums(recorded: Recorded) -> xr.Dataset:
    layers = range(recorded.data.sizes["layer"])

    def by_fold(name: str) -> np.ndarray:
        return np.stack([recorded.by_fold(name, layer) for layer in layers], axis=1)

    coords = {
        name: recorded.data[name].variable for name in ("layer", "stack", "stack_layer", "expert")
    }
    return xr.Dataset(
        {
            "chosen": (
                ("fold", "layer", "expert"),
                by_fold("chosen_count").astype(np.int64),
                {"units": "tokens"},
            ),
            "tokens": ("fold", recorded.fold_rows(), {"units": "tokens"}),
            **{name: (("fold", "layer"), by_fold(f"{name}_sum")) for name in CONFIDENCE},
        },
        coords,
    )
