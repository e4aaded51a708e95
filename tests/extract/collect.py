"""An outcome of pipelines under test."""


class Collect:
    """It keeps everything."""

    def __init__(self):
        self.rows, self.errors = {}, {}

    def begin(self, job):
        pass

    def done(self, attempt):
        self.rows[attempt.job.key] = attempt.rows()

    def failed(self, job, error):
        self.errors[job.key] = error
