"""Runs models over text and records their neurons' activations."""
