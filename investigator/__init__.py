"""The web application that shows where in a video a sentence matches."""
