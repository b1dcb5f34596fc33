"""Text to unit vectors without torch: an exported model run by onnxruntime, beside its tokenizer.

The folder of an encoder (made by `export`, copied into every snapshot):
    encoder.json     kind, model, revision, dimension, window, prompts, parity with the reference
    model.onnx       transformer, pooling and normalisation; absent where the model could not be exported
    tokenizer.json
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

from enhancer_dagster.domain.errors import IndexUnavailableError
from enhancer_dagster.search.jsonfile import read_json

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

ONNX_INT8 = "onnx-int8"
ONNX_FLOAT = "onnx-float32"
REFERENCE = "sentence-transformers"

_BATCH_TOKENS = 2_048  # of one forward pass; more does not fit the second-level cache and is slower
_TOKENIZED_AT_ONCE = 4_096


@dataclass(frozen=True)
class EncoderCard:
    """What an encoder is.

    Attributes:
        kind: `onnx-int8`, `onnx-float32`, or `sentence-transformers` where the model cannot be exported.
        model: Its name or folder.
        revision: Commit of a Hugging Face model, or a hash of the weights.
        dimension: Length of a vector.
        window: Tokens that are read; the rest of a text is cut off.
        query_prompt: Put before every query.
        document_prompt: Put before every document.
        parity: Mean cosine with the vectors of sentence-transformers, over sample texts; 1 is equal.
        note: Why the kind is not `onnx-int8`, where it is not.
    """

    kind: str
    model: str
    revision: str
    dimension: int
    window: int
    query_prompt: str = ""
    document_prompt: str = ""
    parity: float = 1.0
    note: str = ""

    @classmethod
    def read(cls, folder: Path) -> Self:
        """The card of the encoder in `folder`."""
        return cls(**read_json(folder / "encoder.json"))

    def as_dict(self) -> dict[str, str | int | float]:
        """For a manifest."""
        return asdict(self)


class Encoder(Protocol):
    """Turns texts into unit vectors, one a row."""

    card: EncoderCard

    def queries(self, texts: list[str]) -> NDArray[np.float32]:
        """Vectors of what is asked."""
        ...

    def documents(self, texts: list[str]) -> NDArray[np.float32]:
        """Vectors of what is indexed."""
        ...


class OnnxEncoder:
    """An exported model. Safe to share between threads, and to load before a fork.

    Args:
        folder: Of the encoder.
        threads: Of one forward pass. One starts no thread pool, which would not survive a fork.
    """

    def __init__(self, folder: Path, threads: int = 1) -> None:
        self.card = EncoderCard.read(folder)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # The arena keeps the largest batch's memory for ever.
        options.enable_cpu_mem_arena = False
        self._session = onnxruntime.InferenceSession(
            str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"]
        )
        self._inputs = {node.name for node in self._session.get_inputs()}
        self._tokenizer: Tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(self.card.window)

    def queries(self, texts: list[str]) -> NDArray[np.float32]:
        """Vectors of what is asked."""
        return self._encode([self.card.query_prompt + text for text in texts])

    def documents(self, texts: list[str]) -> NDArray[np.float32]:
        """Vectors of what is indexed."""
        return self._encode([self.card.document_prompt + text for text in texts])

    def _encode(self, texts: list[str]) -> NDArray[np.float32]:
        vectors = np.empty((len(texts), self.card.dimension), dtype=np.float32)
        for first in range(0, len(texts), _TOKENIZED_AT_ONCE):
            encodings = self._tokenizer.encode_batch_fast(texts[first : first + _TOKENIZED_AT_ONCE])
            for rows in _batches([len(encoding.ids) for encoding in encodings]):
                vectors[first + rows] = self._forward([encodings[row] for row in rows])
        return vectors

    def _forward(self, encodings: list[Encoding]) -> NDArray[np.float32]:
        shape = len(encodings), max(len(encoding.ids) for encoding in encodings)
        ids, mask = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
        for row, encoding in enumerate(encodings):
            ids[row, : len(encoding.ids)] = encoding.ids
            mask[row, : len(encoding.ids)] = 1
        feeds = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        output = self._session.run(None, {k: v for k, v in feeds.items() if k in self._inputs})
        return np.asarray(output[0], dtype=np.float32)


class ReferenceEncoder:
    """sentence-transformers itself: exact, heavy (torch), for models that cannot be exported.

    Args:
        card: Of the model.
        model: Loaded already.
    """

    def __init__(self, card: EncoderCard, model: "SentenceTransformer") -> None:
        self.card = card
        self._model = model

    def queries(self, texts: list[str]) -> NDArray[np.float32]:
        """Vectors of what is asked."""
        return self._encode(texts, self.card.query_prompt)

    def documents(self, texts: list[str]) -> NDArray[np.float32]:
        """Vectors of what is indexed."""
        return self._encode(texts, self.card.document_prompt)

    def _encode(self, texts: list[str], prompt: str) -> NDArray[np.float32]:
        vectors = self._model.encode(
            texts, prompt=prompt, normalize_embeddings=True, convert_to_numpy=True, show_progress_bar=False
        )
        return np.asarray(vectors, dtype=np.float32)


def open_encoder(folder: Path, threads: int = 1) -> Encoder:
    """The encoder in `folder`, of whichever kind its card names.

    Raises:
        IndexUnavailableError: It cannot be loaded.
    """
    card = EncoderCard.read(folder)
    try:
        if card.kind == REFERENCE:
            return _load_reference(card)
        return OnnxEncoder(folder, threads)
    except Exception as error:  # onnxruntime, tokenizers and the hub each raise classes of their own
        raise IndexUnavailableError(f"the encoder in {folder} cannot be loaded: {error}") from error


def _load_reference(card: EncoderCard) -> ReferenceEncoder:
    from sentence_transformers import SentenceTransformer

    revision = None if Path(card.model).is_dir() else card.revision
    return ReferenceEncoder(card, SentenceTransformer(card.model, revision=revision, device="cpu"))


def _batches(lengths: list[int]) -> list[NDArray[np.int64]]:
    """Rows sorted by length and cut so that a padded batch holds about `_BATCH_TOKENS` tokens."""
    batches: list[NDArray[np.int64]] = []
    batch: list[int] = []
    for row in np.argsort(lengths, kind="stable"):
        if batch and (len(batch) + 1) * lengths[row] > _BATCH_TOKENS:
            batches.append(np.array(batch))
            batch = []
        batch.append(int(row))
    if batch:
        batches.append(np.array(batch))
    return batches
