"""Training data: other datasets turned into ours."""
