"""Finding videos by text: training, evaluation, index and search on stored features."""
