"""Comparisons and probes, in and out of files: one file a format, and validation."""
