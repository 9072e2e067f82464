"""A GPT-2 small enough to load in a blink, written as a Hugging Face folder."""

from __future__ import annotations

from pathlib import Path

SPECIAL_TOKENS = ("<pad>", "<bos>", "<eos>", "<unk>")
WORDS = """
the a this that my our and but not very quite hardly so too was is were tasted felt looked
food soup room staff view music price bed tea fish lovely warm fresh kind clean bright dull
cold stale rude dirty dark i we they it said . , !
"""


def save_tiny_model(folder: Path, *, seed: int = 0) -> Path:
    """Write a random GPT-2 with tied embeddings and a word tokenizer; return the folder.

    2 layers, 2 heads of 32, 64 positions, 49 words and 4 special tokens. Weights are drawn at
    scale 0.2, not GPT-2's 0.02, so that logits differ enough for a wrong weight to show.
    """
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    vocabulary = {word: index for index, word in enumerate((*SPECIAL_TOKENS, *WORDS.split()))}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words,
        pad_token="<pad>",
        bos_token="<bos>",
        eos_token="<eos>",
        unk_token="<unk>",
    )
    config = GPT2Config(
        vocab_size=len(vocabulary),
        n_positions=64,
        n_embd=64,
        n_layer=2,
        n_head=2,
        initializer_range=0.2,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        tie_word_embeddings=True,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = GPT2LMHeadModel(config)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
