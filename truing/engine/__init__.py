"""The model side: trunk, chat template, token tree, log-probabilities, generation, adapters."""
