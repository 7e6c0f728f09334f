"""Copies tensors to the host while the model goes on computing."""

from collections.abc import Callable

import torch
from torch import Tensor


class Copies:
    """Copies on one CUDA stream for each device; tensors on the CPU are taken as they are."""

    def __init__(self) -> None:
        self._streams: dict[torch.device, torch.cuda.Stream] = {}

    def to_host(self, value: Tensor) -> Tensor:
        """Begin to copy a tensor; its content is there once ``arrived`` has been waited for."""
        if value.device.type != "cuda":
            return value.cpu()
        stream = self._streams.setdefault(
            value.device,
            torch.cuda.Stream(value.device),  # type: ignore[no-untyped-call]
        )
        stream.wait_stream(torch.cuda.current_stream(value.device))
        host = torch.empty(value.shape, dtype=value.dtype, pin_memory=True)
        with torch.cuda.stream(stream):
            host.copy_(value, non_blocking=True)
        value.record_stream(stream)
        return host

    def arrived(self) -> Callable[[], None]:
        """A function that waits until all copies that have begun by now are done."""
        events = [stream.record_event() for stream in self._streams.values()]

        def wait() -> None:
            for event in events:
                event.synchronize()

        return wait
