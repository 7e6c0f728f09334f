"""Shows progress as a bar on a terminal, or as occasional lines in a file."""

import sys
from typing import Any

from tqdm import tqdm


def progress(total: int, unit: str, description: str) -> "tqdm[Any]":
    """Make a progress bar up to ``total``, with the rate and the time left."""
    live = sys.stderr.isatty()
    return tqdm(
        total=total,
        unit=f" {unit}",
        desc=description,
        mininterval=0.2 if live else 10,
        maxinterval=10,
        delay=0 if live else 5,
        bar_format=None
        if live
        else "{desc}: {n_fmt}/{total_fmt}{unit} [{rate_fmt}, {remaining} left]\n",
    )
