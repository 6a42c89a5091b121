"""Evaluation tasks, one file each. A task turns probes into item results; the table of tasks is `truing.evals.run.TASKS`."""
