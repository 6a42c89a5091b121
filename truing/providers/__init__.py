"""What answers and scores: the local engine now; one file for each further provider."""
