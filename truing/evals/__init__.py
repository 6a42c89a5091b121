"""Evaluation: tasks, the loop that runs them, comparison of two systems, the gate."""
