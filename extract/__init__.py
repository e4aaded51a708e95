"""From video files to stored features."""
