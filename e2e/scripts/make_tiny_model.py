"""Writes a Llama of random weights that a real server loads in no time, and its tokenizer.

    make_tiny_model.py FOLDER

makes tiny.gguf for llama.cpp and tokenizer.json for whoever counts tokens; both cut text the same
way. The model talks nonsense, at the speed and with the frames of a real one.
"""

import json
import sys
from pathlib import Path

import gguf
import numpy
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from english import entries

VOCABULARY, WIDTH, LAYERS, HEADS, INNER, CONTEXT = 2048, 64, 2, 4, 128, 8192
END, TURN = "<|endoftext|>", "<|turn|>"
CHAT_TEMPLATE = (
    "{% for message in messages %}<|turn|>{{ message.role }}\n{{ message.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}<|turn|>assistant\n{% endif %}"
)


def train_tokenizer() -> Tokenizer:
    """Byte-level BPE with GPT-2's pre-tokenization, which llama.cpp knows by name."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[END, TURN],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator((entry.text for entry in entries()), trainer)
    return tokenizer


def write_model(path: Path, tokenizer: Tokenizer) -> None:
    """Metadata, vocabulary and weights, as llama.cpp reads them."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("tiny")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(VOCABULARY)
    add_vocabulary(writer, tokenizer)
    random = numpy.random.default_rng(20)

    def tensor(name: str, *shape: int, mute: bool = False) -> numpy.ndarray:
        weights = random.normal(0.0, 0.05, shape).astype(numpy.float32)
        if mute:
            weights[0] = 0.0
        writer.add_tensor(name, weights)
        return weights

    def ones(name: str) -> None:
        writer.add_tensor(name, numpy.ones(WIDTH, dtype=numpy.float32))

    # One channel is the same positive number for every token, and no layer writes to it. Through it
    # the last layer refuses tokens that are no plain text: half a character makes the real server
    # answer with an error, and an end of text would make answers of different lengths.
    tensor("token_embd.weight", VOCABULARY, WIDTH)[:, 0] = 0.3
    ones("output_norm.weight")
    tensor("output.weight", VOCABULARY, WIDTH)[:, 0] = refusals(tokenizer)
    for layer in range(LAYERS):
        ones(f"blk.{layer}.attn_norm.weight")
        ones(f"blk.{layer}.ffn_norm.weight")
        for part in ("q", "k", "v", "output"):
            tensor(f"blk.{layer}.attn_{part}.weight", WIDTH, WIDTH, mute=part == "output")
        tensor(f"blk.{layer}.ffn_gate.weight", INNER, WIDTH)
        tensor(f"blk.{layer}.ffn_up.weight", INNER, WIDTH)
        tensor(f"blk.{layer}.ffn_down.weight", WIDTH, INNER, mute=True)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def refusals(tokenizer: Tokenizer) -> numpy.ndarray:
    """A weight for each token: hugely negative where it must never be said."""
    weights = numpy.zeros(VOCABULARY, dtype=numpy.float32)
    for number in range(VOCABULARY):
        text = tokenizer.decode([number], skip_special_tokens=True)
        if not text or not text.isascii() or not (text.isprintable() or text.isspace()):
            weights[number] = -100.0
    return weights


def add_vocabulary(writer: gguf.GGUFWriter, tokenizer: Tokenizer) -> None:
    """The tokenizer's tokens and merges in the model's own file."""
    by_id = {number: token for token, number in tokenizer.get_vocab().items()}
    tokens = [by_id[number] for number in range(VOCABULARY)]
    control = {tokenizer.token_to_id(END), tokenizer.token_to_id(TURN)}
    kinds = [
        gguf.TokenType.CONTROL if number in control else gguf.TokenType.NORMAL
        for number in range(VOCABULARY)
    ]
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges([" ".join(merge) for merge in merges])
    writer.add_bos_token_id(tokenizer.token_to_id(END))
    writer.add_eos_token_id(tokenizer.token_to_id(END))
    writer.add_add_bos_token(False)
    writer.add_chat_template(CHAT_TEMPLATE)


def main() -> None:
    """Writes both files."""
    folder = Path(sys.argv[1])
    tokenizer = train_tokenizer()
    tokenizer.save(str(folder / "tokenizer.json"))
    write_model(folder / "tiny.gguf", tokenizer)


if __name__ == "__main__":
    main()
