"""Make the demonstration model and the folder of a static model registry that holds it.

The model is a llama of one block without knowledge: its attention and feed-forward weights
are zero, a token's embedding is a one at the token's own place, and the output matrix maps
each word of one sentence to the next. So it always recites that sentence, which says what it is,
and its files are the same bytes wherever they are made (nothing is random).

The file is in GGUF 3 as https://github.com/ggml-org/ggml/blob/master/docs/gguf.md defines it;
the registry has the layout that `ollama pull` asks for.
"""

import hashlib
import json
import struct
import sys
from pathlib import Path

import yaml

SENTENCE = (
    "This is the demonstration model of SutazAI: it always answers with these words, "
    "because no public library could be reached from here."
)
WIDTH = 288  # embedding length and vocabulary size are equal, so that each token has a place of its own
HEAD = 32
FEED = 32
CONTEXT = 4096
UNKNOWN, BEGIN, END = 0, 1, 2
F32, F16 = 0, 1
ALIGNMENT = 32


def vocabulary() -> tuple[list[str], list[int]]:
    """Return the pieces in SentencePiece's notation and their types (2 unknown, 3 control, 6 byte, 1 word)."""
    words = SENTENCE.split(" ")
    pieces = [words[0], *("\u2581" + word for word in words[1:])]
    if len(set(pieces)) != len(pieces):
        raise SystemExit("a word occurs twice: the model could not tell what follows it")
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *pieces]
    types = [2, 3, 3, *([6] * 256), *([1] * len(pieces))]
    unused = WIDTH - len(tokens)
    return tokens + [f"<unused{n}>" for n in range(unused)], types + [3] * unused


def half(value: float) -> bytes:
    """Return one number as an IEEE half float."""
    return struct.pack("<e", value)


def embedding() -> bytes:
    """Return the matrix of token embeddings: ones on the diagonal."""
    return b"".join(half(1.0 if column == row else 0.0) for row in range(WIDTH) for column in range(WIDTH))


def successor(tokens: list[str]) -> bytes:
    """Return the output matrix: row `next` has a weight in column `token` where `next` follows `token`."""
    first = 3 + 256
    last = first + len(SENTENCE.split(" ")) - 1
    follows = [token + 1 if first <= token < last else first for token in range(len(tokens))]
    follows[last] = END
    return b"".join(
        half(2.0 if follows[column] == row else 0.0) for row in range(WIDTH) for column in range(WIDTH)
    )


def tensors(tokens: list[str]) -> list[tuple[str, tuple[int, ...], int, bytes]]:
    """Return (name, dimensions from the fastest, type, data) of every tensor."""

    def zeros(*dimensions: int) -> tuple[tuple[int, ...], int, bytes]:
        return dimensions, F16, half(0.0) * (dimensions[0] * dimensions[1])

    ones = ((WIDTH,), F32, struct.pack("<f", 1.0) * WIDTH)
    return [
        ("token_embd.weight", (WIDTH, WIDTH), F16, embedding()),
        ("blk.0.attn_norm.weight", *ones),
        ("blk.0.attn_q.weight", *zeros(WIDTH, WIDTH)),
        ("blk.0.attn_k.weight", *zeros(WIDTH, HEAD)),
        ("blk.0.attn_v.weight", *zeros(WIDTH, HEAD)),
        ("blk.0.attn_output.weight", *zeros(WIDTH, WIDTH)),
        ("blk.0.ffn_norm.weight", *ones),
        ("blk.0.ffn_gate.weight", *zeros(WIDTH, FEED)),
        ("blk.0.ffn_up.weight", *zeros(WIDTH, FEED)),
        ("blk.0.ffn_down.weight", *zeros(FEED, WIDTH)),
        ("output_norm.weight", *ones),
        ("output.weight", (WIDTH, WIDTH), F16, successor(tokens)),
    ]


def text(value: str) -> bytes:
    """Return a GGUF string: length, then bytes."""
    raw = value.encode()
    return struct.pack("<Q", len(raw)) + raw


def entry(key: str, value: object) -> bytes:
    """Return one key of the metadata; the type follows the Python type (int is u32)."""
    kinds = {int: (4, "<I"), float: (6, "<f"), bool: (7, "<?")}
    if isinstance(value, str):
        return text(key) + struct.pack("<I", 8) + text(value)
    if not isinstance(value, list):
        kind, pattern = kinds[type(value)]
        return text(key) + struct.pack("<I", kind) + struct.pack(pattern, value)
    head = text(key) + struct.pack("<I", 9)
    if isinstance(value[0], str):
        return head + struct.pack("<IQ", 8, len(value)) + b"".join(map(text, value))
    kind, pattern = (6, "<f") if isinstance(value[0], float) else (5, "<i")
    return head + struct.pack("<IQ", kind, len(value)) + b"".join(struct.pack(pattern, item) for item in value)


def metadata(tokens: list[str], types: list[int]) -> dict[str, object]:
    """Return what a llama model says about itself."""
    return {
        "general.architecture": "llama",
        "general.name": "SutazAI demonstration",
        "general.description": "Recites one sentence; made to test a deployment, not to answer questions.",
        "general.license": "CC0-1.0",
        "general.file_type": F16,
        "general.parameter_count": sum(len(t[3]) // (4 if t[2] == F32 else 2) for t in tensors(tokens)),
        "llama.block_count": 1,
        "llama.context_length": CONTEXT,
        "llama.embedding_length": WIDTH,
        "llama.feed_forward_length": FEED,
        "llama.attention.head_count": WIDTH // HEAD,
        "llama.attention.head_count_kv": 1,
        "llama.attention.layer_norm_rms_epsilon": 1e-5,
        "llama.rope.dimension_count": HEAD,
        "llama.rope.freq_base": 10000.0,
        "llama.vocab_size": WIDTH,
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.scores": [0.0] * len(tokens),
        "tokenizer.ggml.token_type": types,
        "tokenizer.ggml.unknown_token_id": UNKNOWN,
        "tokenizer.ggml.bos_token_id": BEGIN,
        "tokenizer.ggml.eos_token_id": END,
        "tokenizer.ggml.add_bos_token": True,
        "tokenizer.ggml.add_eos_token": False,
    }


def padded(data: bytes) -> bytes:
    """Return the data, filled up to the alignment of tensors."""
    return data + b"\0" * (-len(data) % ALIGNMENT)


def gguf() -> bytes:
    """Return the model file."""
    tokens, types = vocabulary()
    parts = tensors(tokens)
    keys = metadata(tokens, types)
    head = b"GGUF" + struct.pack("<IQQ", 3, len(parts), len(keys))
    head += b"".join(entry(key, value) for key, value in keys.items())
    offset = 0
    for name, dimensions, kind, data in parts:
        head += text(name) + struct.pack(f"<I{len(dimensions)}QIQ", len(dimensions), *dimensions, kind, offset)
        offset += len(padded(data))
    return padded(head) + b"".join(padded(part[3]) for part in parts)


def compact(value: object) -> bytes:
    """Return JSON as Go writes it, so that the server's own copy has the same digest."""
    return json.dumps(value, separators=(",", ":")).encode()


def digest(data: bytes) -> str:
    """Return the name of these bytes."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def files() -> tuple[bytes, list[bytes]]:
    """Return the manifest and the blobs that it names."""
    model, parameters = gguf(), compact({"num_thread": 1, "temperature": 0})
    config = compact({
        "model_format": "gguf", "model_family": "llama", "model_families": ["llama"], "model_type": "380K",
        "file_type": "F16", "architecture": "amd64", "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [digest(model), digest(parameters)]},
    })  # fmt: skip

    def layer(media: str, data: bytes) -> dict[str, object]:
        return {"mediaType": media, "digest": digest(data), "size": len(data)}

    manifest = compact({
        "schemaVersion": 2,
        "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "config": layer("application/vnd.docker.container.image.v1+json", config),
        "layers": [
            layer("application/vnd.ollama.image.model", model),
            layer("application/vnd.ollama.image.params", parameters),
        ],
    })  # fmt: skip
    return manifest, [config, model, parameters]


def main(catalogue: Path, target: Path) -> None:
    """Write the registry; refuse when the manifest is not the one that the catalogue names."""
    models = yaml.safe_load(catalogue.read_text())["models"]
    known = next(model for model in models if model.get("demonstration"))
    manifest, blobs = files()
    size = sum(map(len, blobs))
    if (digest(manifest), size) != (known["digest"], known["size"]):
        raise SystemExit(
            f"{known['name']}: made {digest(manifest)}, {size} bytes; {catalogue.name} says {known['digest']}, "
            f"{known['size']} bytes. Next: undo the change, or record the new model in {catalogue.name}."
        )
    repository, _, tag = known["source"].partition("/")[2].rpartition(":")
    folder = target / "v2" / repository
    for name, data in [(f"manifests/{tag}", manifest), *((f"blobs/{digest(blob)}", blob) for blob in blobs)]:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
