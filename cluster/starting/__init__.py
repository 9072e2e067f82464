"""What is made ready before the loops run: session, parts, base model, prompts."""
