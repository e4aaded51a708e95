"""A model that is as slow as a test wants it, and counts what goes through it."""

import threading
import time


class CountingEncoder:
    """Another encoder; `slow` seconds a batch. `reached` is set when `reach` frames have come."""

    def __init__(self, encoder, slow=0.0):
        self._encoder, self.slow, self.frames = encoder, slow, 0
        self.reached = threading.Event()
        self.reach = 10**9

    def __getattr__(self, name):
        return getattr(self._encoder, name)

    def encode(self, frames):
        time.sleep(self.slow)
        self.frames += len(frames)
        if self.frames >= self.reach:
            self.reached.set()
        return self._encoder.encode(frames)
