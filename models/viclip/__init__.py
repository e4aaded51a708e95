"""ViCLIP: CLIP for windows of frames."""
