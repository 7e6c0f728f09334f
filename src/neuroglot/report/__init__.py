"""The report: one HTML file with what a run is, its figures with captions, and its tables."""

from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from neuroglot.config import Config
from neuroglot.files import write_whole
from neuroglot.report.overview import about
from neuroglot.report.results import Results

PAGE = "page.html"


def write_report(config: Config, path: Path) -> None:
    """Write the report of a finished run; it needs no other file and no network.

    Links to figures and tables are relative to the folder of ``path``.

    Raises:
        NeuroglotError: a result or a caption is missing, or a caption cannot be rendered; all such
            captions are named.
    """
    environment = Environment(
        loader=PackageLoader(__name__, "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    analyses = Results(config, path.parent).sections()
    page = environment.get_template(PAGE).render(analyses=analyses, **about(config))
    write_whole(path, page.encode())
