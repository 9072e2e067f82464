"""Where prompts come from: our own generators, a JSONL file or a Hugging Face dataset."""
