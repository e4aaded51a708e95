"""The demonstration world: a program that draws labelled videos, and the small demonstration model trained on them."""
