"""How a language model's feed-forward neurons handle many languages."""
