"""Which packets must be decoded so that the wanted frames come out, bit-identical to a plain decode.

Pure: a packet table and wanted frames in, an action a packet out. Three savings (design page): frames that no frame
refers to and nobody wants are skipped; nothing of a GOP is decoded after its last wanted frame; a GOP without a
wanted frame is jumped over.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..frames import PacketTable

DROP, IF_REFERENCE, DECODE = 0, 1, 2


@dataclass(frozen=True, eq=False)
class DecodePlan:
    """What to do with each packet, in file order."""

    actions: np.ndarray  # uint8 [p]: DROP, IF_REFERENCE (others may need it), DECODE (wanted, or a restart's entry)
    restarts: np.ndarray  # bool [p]: packets before it are missing; empty and reset the decoder first

    @property
    def last(self) -> int:
        """The last packet that is sent; -1 when none is."""
        sent = np.flatnonzero(self.actions)
        return int(sent[-1]) if len(sent) else -1


def plan_decode(packets: PacketTable, wanted: np.ndarray) -> DecodePlan:
    """The plan for `wanted`, int64 [m] places of frames in presentation order."""
    count = len(packets)
    actions = np.zeros(count, dtype=np.uint8)
    restarts = np.zeros(count, dtype=bool)
    is_wanted = (packets.shows >= 0) & np.isin(packets.shows, wanted)
    starts = np.flatnonzero(packets.entry)
    if not len(starts) or starts[0] != 0:  # packets before the first entry belong to it: nothing else can give them
        starts = np.concatenate([[0], starts])
    stops = np.concatenate([starts[1:], [count]])

    continues = False  # the GOP being planned is followed without a gap by the one planned before (going backwards)
    for start, stop in zip(starts[::-1].tolist(), stops[::-1].tolist(), strict=True):
        wanted_here = np.flatnonzero(is_wanted[start:stop])
        if not continues and not len(wanted_here):
            continue
        # Leading pictures (shown before their entry, sent after it) refer to the GOP before theirs.
        leading = packets.pts[start:stop] < packets.pts[start]
        # An entry whose frame is not shown (an edit list) cannot prove that decoding started well there.
        needs_previous = bool(start > 0 and (np.any(leading & is_wanted[start:stop]) or packets.shows[start] < 0))
        end = stop if continues else start + int(wanted_here[-1]) + 1
        actions[start:end] = np.where(is_wanted[start:end], DECODE, IF_REFERENCE)
        if not needs_previous:
            actions[start:end][leading[:end - start] & ~is_wanted[start:end]] = DROP
            restarts[start] = start > 0
            if restarts[start]:
                actions[start] = DECODE
        continues = needs_previous
    # A GOP that directly follows a fully decoded one needs no restart, only a continued decode; restarting is as exact.
    return DecodePlan(actions, restarts)


def split_by_gop(packets: PacketTable | None, wanted: np.ndarray, most: int) -> list[np.ndarray]:
    """`wanted` in at most `most` runs of about equal work that never share a GOP; their plans together decode hardly
    more than the plan of the whole. One run where packets are not known."""
    if packets is None or most <= 1 or len(wanted) < 2:
        return [wanted]
    carriers = np.flatnonzero(packets.shows >= 0)
    gop_of_packet = np.cumsum(packets.entry)
    gop_of_frame = np.zeros(int(packets.shows.max()) + 1, dtype=np.int64)
    gop_of_frame[packets.shows[carriers]] = gop_of_packet[carriers]
    gops = gop_of_frame[wanted]
    distinct = np.unique(gops)
    # leading pictures stand before their GOP's entry in time, so GOPs of increasing frames may alternate at a border
    run_of_gop = np.arange(len(distinct)) * min(most, len(distinct)) // len(distinct)
    runs = run_of_gop[np.searchsorted(distinct, gops)]
    return [wanted[runs == run] for run in range(int(runs.max()) + 1)]
