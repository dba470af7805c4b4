"""Metrics of maps of pixels, at the resolution of the labels."""
