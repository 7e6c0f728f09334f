"""The neurons that LAPE finds specific to a language, if it is configured beside transfer."""

from pathlib import Path

from neuroglot import store
from neuroglot.analyses.transfer.measures.specific import lape_neurons
from neuroglot.measures.matching import Mask


def specific_neurons(path: Path | None) -> dict[str, Mask]:
    """Read LAPE's neurons by language, bool [layer, neuron]; none without its result."""
    if path is None:
        return {}
    return lape_neurons(store.open_dataset(path, "reduction")["language_neuron"])
