"""Runs models over text and writes what their neurons did."""
