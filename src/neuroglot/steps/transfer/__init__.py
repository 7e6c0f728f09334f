"""Neurons that move representations between latent spaces: its reductions."""
