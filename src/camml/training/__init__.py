"""Training: a recipe (YAML and flags) to a model folder, on transformers' Trainer."""
