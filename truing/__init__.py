"""truing: align a language model with what people want of it, show that it did, and keep it there."""

__version__ = "0.1.0"
