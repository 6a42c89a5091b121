"""Judges: what says whether an answer shows a behaviour, with their measured error rates."""
