"""What is recorded of a text, and the blocks of tokens in which that is computed and written."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from neuroglot.capture.collectors import Collector, CrossLayerCollector
from neuroglot.capture.settings import Over
from neuroglot.store import StoreDtype
from neuroglot.tokens import Tokens

# Progress is saved with the sums so far. They can take more room than what a block writes, so where
# blocks write nothing they are saved only after this many.
BLOCKS_OF_SUMS = 4


@dataclass(frozen=True)
class Recording:
    """What to keep of a forward pass, and of which tokens: raw rows, or sums over rows.

    Attributes:
        sites: the sites whose raw rows are stored: ``act``, ``gate``, ``out``, ``mid``, ``state``,
            ``peak`` and ``mean``. ``peak`` is the largest value of ``peak_of``, and ``mean`` the
            mean of ``state``, over the tokens of the row's segment without special tokens.
        over: the tokens that are recorded. With prompts, an encoder-decoder's decoder reads only
            its start token and its language tag, at which it begins to answer; it does not read the
            text again.
        collectors: statistics over the recorded rows.
        store_dtype: precision of raw rows.
        cross_layer: statistics over the recorded rows that compare layers.
        segments: how many of the drawn segments are recorded, from the first; None records all.
        peak_of: ``act`` or ``gate``.
        keep_bits: how many bits of a raw value's mantissa are kept, fewer than ``store_dtype`` has;
            None keeps all.
    """

    sites: tuple[str, ...] = ()
    over: Over = "prefixes"
    collectors: tuple[Collector, ...] = ()
    store_dtype: StoreDtype = "float16"
    cross_layer: tuple[CrossLayerCollector, ...] = ()
    segments: int | None = None
    peak_of: str = "act"
    keep_bits: int | None = None

    def __post_init__(self) -> None:
        """What a block writes of a recording is a span of rows or of segments."""
        assert not (self.sites and self.sums), "one recording keeps rows or sums, not both"

    def rows(self, tokens: Tokens) -> NDArray[np.int64]:
        """Indices of the recorded tokens, ``[row]``."""
        if self.over == "prefixes":
            chosen = tokens.ends_prefix
        elif self.over == "every token":
            chosen = np.ones(len(tokens.segment), bool)
        else:
            chosen = np.diff(tokens.segment, append=-1) != 0
        within = True if self.segments is None else tokens.places[tokens.segment] < self.segments
        return np.flatnonzero(chosen & within)

    @property
    def sums(self) -> bool:
        """Whether sums over rows are kept, not raw rows."""
        return bool(self.collectors or self.cross_layer)

    @property
    def of_last_tokens(self) -> bool:
        """Whether the only row of a segment is its last token."""
        return self.over in ("last token of each segment", "last prompt token")

    def source(self, site: str) -> str:
        """The site that a stored site is computed from."""
        return {"peak": self.peak_of, "mean": "state"}.get(site, site)

    @property
    def watched(self) -> set[str]:
        """Every site that has to be read."""
        collected = [collector.site for collector in self.collectors]
        sites = map(self.source, self.sites)
        return {*sites, *collected, *(collector.site for collector in self.cross_layer)}


@dataclass(frozen=True)
class Block:
    """Successive segments that are run, summed and written together.

    Blocks and batches depend on the text and the model, not on what is recorded. So a recording
    has the same numbers whether it is made alone or together with others. Rows are in the order of
    the text.

    Attributes:
        stop: index of the token after the block's last token.
        rows: indices of the recorded tokens, by name of the recording.
        spans: by name of the recording, what the block writes of all rows or, if it keeps sums,
            of all segments.
        segments: two groups of segments, which are batched apart: those with a prefix, and those
            without. Groups of which no row is recorded are left out.
    """

    stop: int
    rows: Mapping[str, NDArray[np.int64]]
    spans: Mapping[str, slice]
    segments: Sequence[NDArray[np.int64]]


def cut_into_blocks(tokens: Tokens, recordings: Mapping[str, Recording], size: int) -> list[Block]:
    """Cut a text into blocks of about ``size`` tokens, or of ``size`` segments for last tokens.

    A segment is in the block in which its first token is. Blocks without rows are left out.
    """
    last = any(recording.of_last_tokens for recording in recordings.values())
    firsts = np.flatnonzero(np.diff(tokens.segment, prepend=-1))  # each segment's first token
    borders = np.append(firsts, len(tokens.segment))
    cuts = np.arange(0, len(firsts), size)
    if not last:
        cuts = np.unique(np.searchsorted(firsts, np.arange(0, len(tokens.segment), size)))
    with_prefix = segments_of(tokens, np.flatnonzero(tokens.ends_prefix))
    rows = {name: recording.rows(tokens) for name, recording in recordings.items()}
    blocks = []
    for start, stop in pairwise(np.unique([*cuts, len(firsts)]).tolist()):
        inside, spans = {}, {}
        for name, recording in recordings.items():
            written = slice(*np.searchsorted(rows[name], borders[[start, stop]]).tolist())
            inside[name] = rows[name][written]
            spans[name] = slice(start, stop) if recording.sums else written
        groups = [np.arange(start, stop)]
        if not last:
            groups = [
                np.intersect1d(groups[0], with_prefix),
                np.setdiff1d(groups[0], with_prefix),
            ]
        recorded = segments_of(tokens, np.concatenate([*inside.values()]))
        groups = [group for group in groups if np.isin(group, recorded).any()]
        if groups:
            blocks.append(Block(int(borders[stop]), inside, spans, groups))
    return blocks


def stretches(blocks: Sequence[Block], writing: Collection[str]) -> list[list[Block]]:
    """Group blocks; progress is saved after each group.

    A group ends with a block in which a recording of ``writing``, which writes to the store block
    by block, has rows.
    """
    grouped: list[list[Block]] = [[]]
    for block in blocks:
        grouped[-1].append(block)
        if len(grouped[-1]) == BLOCKS_OF_SUMS or any(len(block.rows[name]) for name in writing):
            grouped.append([])
    return [stretch for stretch in grouped if stretch]


def segments_of(tokens: Tokens, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """The segments of these tokens, sorted."""
    return np.unique(tokens.segment[rows]).astype(np.int64)
