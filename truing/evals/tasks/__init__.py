"""Evaluation tasks, one file each. A task turns probes into item results; `truing.evals.run` says which there are."""
