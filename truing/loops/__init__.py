"""What joins stages: the recipe and its steps."""
