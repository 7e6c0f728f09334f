"""Loads a normalised model onto a device, in a given precision."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from neuroglot.errors import NeuroglotError
from neuroglot.models.architectures import ARCHITECTURES
from neuroglot.models.card import CARD, check_files, read_card

if TYPE_CHECKING:
    from torch import nn


def load(folder: Path, device: str = "auto", dtype: str = "auto") -> "nn.Module":
    """Load a model from its folder, in evaluation mode.

    Rows of its head that no token has, which pad many embeddings, are cut off: they are no part of
    its predictions.

    Args:
        folder: a folder with safetensors and ``config.json``.
        device: ``cpu``, ``cuda``, or ``auto``, which means ``cuda`` if there is a GPU. With several
            GPUs, one is used if 1.2 times the weights fit its free memory, else all. Weights go to
            their place tensor by tensor, so more than main memory holds can be loaded onto GPUs.
        dtype: ``auto``, ``float32``, ``bfloat16`` or ``float16``. ``auto`` is float32 on a CPU and
            the checkpoint's precision elsewhere.

    Raises:
        NeuroglotError: the device does not exist here, the GPUs are too small, or the model cannot
            be read or is damaged.
    """
    import torch
    import transformers

    transformers.utils.logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    device_map = _place(folder, device)
    if (folder / CARD).is_file():  # safetensors have no checksums
        check_files(folder)
    on_cpu = device_map == "cpu"
    precision: Any = torch.float32 if dtype == "auto" and on_cpu else dtype
    try:
        config = transformers.AutoConfig.from_pretrained(folder, trust_remote_code=False)
        model = model_class(config).from_pretrained(
            folder,
            config=config,
            dtype=precision,
            device_map=None if on_cpu else device_map,
            use_safetensors=True,
            trust_remote_code=False,
        )
    except (OSError, ValueError) as error:
        raise NeuroglotError(f"{folder}: the model cannot be loaded: {error}") from error
    if not on_cpu and any(weight.device.type != "cuda" for weight in model.parameters()):
        raise _too_large(folder)
    if (folder / CARD).is_file():
        cut_head(model, read_card(folder).vocabulary)
    if config.is_encoder_decoder:
        model.config.decoder_start_token_id = decoder_start(folder, config, folder)
    return model.eval().requires_grad_(False)  # type: ignore[no-any-return]


def model_class(config: Any) -> Any:
    """The transformers class that loads a configuration's model, with its head if it has one."""
    import transformers

    entry = ARCHITECTURES.get(config.model_type)
    if entry and entry.encoder_alone and headless(config):
        return transformers.AutoModel
    if entry and entry.loader:
        return getattr(transformers, entry.loader)
    return (
        transformers.AutoModelForSeq2SeqLM
        if config.is_encoder_decoder
        else transformers.AutoModelForCausalLM
    )


def headless(config: Any) -> bool:
    """Whether weights were saved without a head, as those of models of embeddings are."""
    names = config.architectures or []
    return bool(names) and all(name.endswith("Model") for name in names)


def cut_head(model: Any, vocabulary: int) -> None:
    """Keep the first ``vocabulary`` rows of a model's head; the embedding stays as it is.

    The rows share the weights. A head that is tied to the embedding has no parameter afterwards, so
    that parameters are still counted once.
    """
    from torch import nn

    head = model.get_output_embeddings()
    if head is None or len(head.weight) <= vocabulary:
        return
    tied = head.weight is model.get_input_embeddings().weight
    rows = head.weight.detach()[:vocabulary]
    del head.weight
    head.weight = rows if tied else nn.Parameter(rows, requires_grad=False)
    if head.bias is not None:
        head.bias = nn.Parameter(head.bias.detach()[:vocabulary], requires_grad=False)
    if (bias := getattr(model, "final_logits_bias", None)) is not None:
        model.final_logits_bias = bias[..., :vocabulary]


def decoder_start(folder: Path, config: Any, named: object) -> int:
    """The token with which an encoder-decoder's decoder starts.

    It is the first that is given: ``decoder_start_token_id`` of the configuration or of
    ``generation_config.json``, or the ``forced_bos_token_id`` of either.

    Args:
        folder: of the model.
        config: its configuration.
        named: what an error names.

    Raises:
        NeuroglotError: none is given.
    """
    from transformers import GenerationConfig

    generation: Any = (
        GenerationConfig.from_pretrained(folder)
        if (folder / "generation_config.json").is_file()
        else GenerationConfig.from_model_config(config)
    )
    for key in ("decoder_start_token_id", "forced_bos_token_id"):
        for settings in (config, generation):
            start = getattr(settings, key, None)
            if isinstance(start, int):
                return start
    raise NeuroglotError(
        f"{named}: config.json and generation_config.json give no decoder_start_token_id and no "
        "forced_bos_token_id, so the decoder has no token to start with; add to config.json the "
        "decoder_start_token_id with which the model was trained"
    )


def _place(folder: Path, device: str) -> str:
    """Choose accelerate's ``device_map``: one device, or ``auto`` for several GPUs."""
    import torch

    if device == "cpu" or (device == "auto" and not torch.cuda.is_available()):
        return "cpu"
    if not torch.cuda.is_available():
        raise NeuroglotError(
            f"{folder.name} is run on a GPU, and torch finds none on this machine; go on where "
            "there is one, or set capture.device to cpu, which computes again what was computed "
            "with this model"
        )
    weights = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    free = [torch.cuda.mem_get_info(number)[0] for number in range(torch.cuda.device_count())]
    if weights > sum(free):
        raise _too_large(folder)
    return "auto" if len(free) > 1 and weights * 1.2 > free[0] else "cuda"


def _too_large(folder: Path) -> NeuroglotError:
    return NeuroglotError(
        f"{folder}: the weights do not fit the free memory of the GPUs that this job has; request "
        "more of them (execution.gpu_gigabytes says how large one is), or set capture.device: cpu"
    )
