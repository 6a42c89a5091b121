"""Losses as pure functions of tensors: no model, no configuration, no logging."""
