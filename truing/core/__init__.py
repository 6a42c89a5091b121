"""Records, protocols, digests, statistics and configuration: what every other part may import."""
