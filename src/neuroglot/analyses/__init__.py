"""The registry of all analyses, in the report's order. Add an analysis as a folder and a line."""

from typing import Any

from neuroglot.analyses.agreement import AGREEMENT
from neuroglot.analyses.base import Analysis
from neuroglot.analyses.boost import BOOST
from neuroglot.analyses.experts import EXPERTS
from neuroglot.analyses.lape import LAPE
from neuroglot.analyses.lexicon import LEXICON
from neuroglot.analyses.roles import ROLES
from neuroglot.analyses.routing import ROUTING
from neuroglot.analyses.sharing import SHARING
from neuroglot.analyses.transfer import TRANSFER

ANALYSES: dict[str, Analysis[Any]] = {
    analysis.name: analysis
    for analysis in (
        ROLES,
        LEXICON,
        SHARING,
        EXPERTS,
        TRANSFER,
        LAPE,
        ROUTING,
        AGREEMENT,
        BOOST,
    )
}
