"""Made-up results of the revisions of models, for the tests of what follows them through training.

A family has as many revisions as a stack of a test's case has layers. The first family's names tell
steps; with a second family, steps are unknown.
"""

from importlib import import_module

import numpy as np
import xarray as xr

from neuroglot.analyses.training import along_training

STEPS = (0, 512, 1000, 5000, 20_000, 143_000, *range(200_000, 1_200_001, 50_000), 1_900_000)


def families_of(stacks: dict[str, int]) -> dict[str, dict[str, int | None]]:
    told = len(stacks) == 1
    return {
        f"model-{family}": {
            f"model-{family}-{place}": STEPS[place] if told else None for place in range(count)
        }
        for family, count in stacks.items()
    }


def in_training(
    analysis: str, data: xr.Dataset, names: list[str], stacks: dict[str, int]
) -> xr.Dataset:
    """What the step ``training`` makes of a result whose variables grow from half to all."""
    measured = import_module(f"neuroglot.analyses.{analysis}.steps.training").measured
    families = families_of(stacks)
    grown = {}
    for members in families.values():
        for model, factor in zip(members, np.linspace(0.5, 1, len(members)), strict=True):
            bounded = [name for name in data if str(name).startswith(tuple(names))]
            grown[model] = measured(data.assign({name: data[name] * factor for name in bounded}))
    attrs = {key: value for key, value in data.attrs.items() if key != "model"}
    return along_training(grown, families).assign_attrs(attrs)
