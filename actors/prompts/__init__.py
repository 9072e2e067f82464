"""Where prompts come from: generated reviews, a JSONL file or a Hugging Face dataset."""
