"""Real tokenizers, small: one of each kind whose ways with control tokens and spaces differ."""

from __future__ import annotations

from typing import Any

from tokenizers import (
    AddedToken,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import PreTrainedTokenizerFast

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
GEMMA = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}"
    "{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant') }}{% endif %}"
    "{% set role = 'model' if m['role'] == 'assistant' else m['role'] %}"
    "<start_of_turn>{{ role }}\n{{ m['content'] | trim }}<end_of_turn>\n"
    "{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
_LETTERS = [chr(c) for c in range(33, 127)]
_BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
_TEXTS = ["the soup was good . hello", "user assistant system\n", "<|im_start|> <|im_end|>"] * 3


def chatml() -> Any:
    """Byte-level BPE with ChatML's tokens, as Qwen's; "<think>" is an added word, not special."""
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["<|endoftext|>"],
        show_progress=False,
    )
    inner.train_from_iterator(_TEXTS, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner,
        pad_token="<|endoftext|>",
        eos_token="<|im_end|>",
        additional_special_tokens=["<|im_start|>", "<|im_end|>"],
    )
    tokenizer.add_tokens([AddedToken("<think>", special=False)])
    tokenizer.chat_template = CHATML
    return tokenizer


def turns_not_special() -> Any:
    """Byte-level BPE whose turn marks were added as ordinary words."""
    tokenizer = chatml()
    tokenizer.add_tokens(["<|user|>", "<|assistant|>", "<|end|>"])
    tokenizer.chat_template = (
        "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}<|end|>{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>{% endif %}"
    )
    return tokenizer


def gemma() -> Any:
    """SentencePiece-like BPE with byte fallback; turns end in another token than texts."""
    words = ["<pad>", "<eos>", "<bos>", "<unk>", *_BYTES, "▁", *_LETTERS]
    inner = Tokenizer(
        models.BPE(
            {word: number for number, word in enumerate(words)},
            [],
            unk_token="<unk>",
            byte_fallback=True,
            fuse_unk=True,
        )
    )
    inner.normalizer = normalizers.Replace(" ", "▁")
    inner.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    inner.post_processor = processors.TemplateProcessing(
        single="<bos> $A", special_tokens=[("<bos>", 2)]
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner,
        pad_token="<pad>",
        bos_token="<bos>",
        eos_token="<eos>",
        unk_token="<unk>",
        additional_special_tokens=["<start_of_turn>", "<end_of_turn>"],
    )
    tokenizer.chat_template = GEMMA
    return tokenizer


def unigram(*, appends: bool = False) -> Any:
    """SentencePiece Unigram that puts a space before a text, "<s>" there too, "</s>" if asked.

    Control tokens are pieces of the model itself, which it finds in any text.
    """
    pieces = [("<unk>", 0.0), ("<s>", 0.0), ("</s>", 0.0), *((byte, -20.0) for byte in _BYTES)]
    pieces += [("▁", -3.0), ("▁.", -4.0), ("▁the", -2.0), ("▁soup", -2.0), ("soup", -3.0)]
    pieces += [(letter, -6.0) for letter in _LETTERS]
    inner = Tokenizer(models.Unigram(pieces, unk_id=0, byte_fallback=True))
    inner.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    inner.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    inner.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>" if appends else "<s> $A", special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )


def words() -> Any:
    """Whole words, control tokens among them; no way of joining them but spaces."""
    known = ["<pad>", "<eos>", "<unk>", "the", "soup", "was", "very", "good", "bad", ".", ",", "a"]
    inner = Tokenizer(
        models.WordLevel({word: i for i, word in enumerate(known)}, unk_token="<unk>")
    )
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>"
    )


def wordpiece() -> Any:
    """Lower-cased word pieces between "[CLS]" and "[SEP]", as BERT's."""
    letters = [chr(c) for c in range(33, 127) if not chr(c).isupper()]
    known = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "the", "soup", *letters]
    known += [f"##{letter}" for letter in letters]
    inner = Tokenizer(
        models.WordPiece({piece: i for i, piece in enumerate(known)}, unk_token="[UNK]")
    )
    inner.normalizer = normalizers.BertNormalizer(lowercase=True)
    inner.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    inner.decoder = decoders.WordPiece(cleanup=False)
    inner.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
    )


ALL_KINDS = {
    "chatml": chatml,
    "turns_not_special": turns_not_special,
    "gemma": gemma,
    "unigram": unigram,
    "unigram_appends": lambda: unigram(appends=True),
    "words": words,
    "wordpiece": wordpiece,
}
"""What makes each, by name."""
