"""Ways of scoring; a file here is one. Each equals its official evaluator, named in its `Source:` lines."""
