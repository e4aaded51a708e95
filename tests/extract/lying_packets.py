"""A video whose packets lie: presentation times muxed as decode times, so that frames come out against their times."""

from pathlib import Path

import av
from clipreel.tests.media import Recipe


def write_lying(folder: Path) -> tuple[Path, Path]:
    """(the true video, the lying one)."""
    true, lying = folder / "true.mp4", folder / "lying.mp4"
    Recipe(options={"bf": "2"}).write(true)
    with av.open(str(true)) as source, av.open(str(lying), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for number, packet in enumerate(source.demux(source.streams.video[0])):
            if packet.size:
                packet.stream, packet.pts, packet.dts = stream, number * 512, number * 512
                target.mux(packet)
    return true, lying
