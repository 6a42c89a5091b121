"""Kinds of artifacts that verbs of other files speak of."""

REWARD = "reward"
