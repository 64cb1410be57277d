"""Assay trains language models from rewards that can be checked, and measures what the training bought."""
