"""The registry: every analysis, in the order of the report. A new one is a folder and a line."""

from typing import Any

from neuroglot.analyses.agreement import AGREEMENT
from neuroglot.analyses.base import Analysis
from neuroglot.analyses.boost import BOOST
from neuroglot.analyses.lape import LAPE

ANALYSES: dict[str, Analysis[Any]] = {
    analysis.name: analysis for analysis in (LAPE, AGREEMENT, BOOST)
}
