"""A model, exported: the same vectors as sentence-transformers, and a way out where that fails."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from enhancer_dagster.domain.errors import ConfigurationError
from enhancer_dagster.search.build import build_index
from enhancer_dagster.search.encoder import (
    ONNX_FLOAT,
    ONNX_INT8,
    REFERENCE,
    EncoderCard,
    OnnxEncoder,
    open_encoder,
)
from enhancer_dagster.search.export import export_encoder
from enhancer_dagster.search.model_source import DEFAULT_SHA256, ModelSource, find_model
from enhancer_dagster.search.parity_texts import PARITY_TEXTS
from enhancer_dagster.search.query import SnapshotSearch
from enhancer_dagster.search.settings import DEFAULT_MODEL, BuildSettings
from tests.search_fixtures import content

TEXTS = ["printer prints nothing", "password was forgotten by the user", "vpn", "a" * 50, ""]


@pytest.fixture(scope="session")
def exported(encoders: Path) -> Path:
    return encoders / find_model(DEFAULT_MODEL).key


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a sentence-transformers model of one layer and random weights."""
    folder = tmp_path_factory.mktemp("tiny")
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer.train_from_iterator(
        PARITY_TEXTS, trainers.WordPieceTrainer(vocab_size=400, special_tokens=special)
    )
    torch.manual_seed(1)
    config = BertConfig(
        vocab_size=tokenizer.get_vocab_size(),
        max_position_embeddings=64,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
    )
    BertModel(config).save_pretrained(folder / "bert")
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", model_max_length=64
    ).save_pretrained(folder / "bert")
    body = Transformer(str(folder / "bert"), max_seq_length=48)
    pooling = Pooling(body.get_embedding_dimension(), "mean")
    SentenceTransformer(modules=[body, pooling]).save(str(folder / "model"))
    return folder / "model"


def test_the_default_model_is_the_published_one() -> None:
    source = find_model("all-MiniLM-L6-v2")
    assert source.name == DEFAULT_MODEL
    assert DEFAULT_SHA256.startswith(source.revision)


def test_the_default_is_exported_small_and_near_the_original(exported: Path) -> None:
    card = EncoderCard.read(exported)
    assert (card.kind, card.dimension, card.window) == (ONNX_INT8, 384, 256)
    assert card.parity >= 0.98
    assert (exported / "model.onnx").stat().st_size < 30e6
    reference = SentenceTransformer(find_model(DEFAULT_MODEL).path, device="cpu")
    expected = reference.encode(list(PARITY_TEXTS), normalize_embeddings=True)
    cosines = np.sum(open_encoder(exported).queries(list(PARITY_TEXTS)) * expected, axis=1)
    assert cosines.mean() == pytest.approx(card.parity, abs=0.005)
    assert cosines.min() > 0.95


def test_vectors_come_in_the_order_of_the_texts(exported: Path) -> None:
    encoder = OnnxEncoder(exported)
    together = encoder.documents(TEXTS * 30)
    alone = np.vstack([encoder.documents([text]) for text in TEXTS])
    # Activations are quantised a batch at a time, so company moves a vector, by how much is the processor's.
    nearest = (together[-len(TEXTS) :] @ alone.T).argmax(axis=1)
    assert nearest.tolist() == list(range(len(TEXTS)))
    assert np.linalg.norm(together, axis=1) == pytest.approx(1.0, abs=1e-4)


def test_any_folder_with_a_model_will_do(tiny_model: Path, tmp_path: Path) -> None:
    card = export_encoder(find_model(str(tiny_model)), tmp_path)
    assert card.kind in (ONNX_INT8, ONNX_FLOAT)
    assert (card.dimension, card.window) == (32, 48)
    expected = SentenceTransformer(str(tiny_model), device="cpu").encode(TEXTS[:3], normalize_embeddings=True)
    assert np.sum(open_encoder(tmp_path).documents(TEXTS[:3]) * expected, axis=1).min() > 0.95


def test_other_weights_are_another_revision(tiny_model: Path, tmp_path: Path) -> None:
    before = find_model(str(tiny_model))
    (tiny_model / "note.txt").write_text("changed")
    after = find_model(str(tiny_model))
    (tiny_model / "note.txt").unlink()
    assert before.revision != after.revision
    assert before.key != after.key


def test_a_model_that_cannot_be_exported_still_answers(tiny_model: Path, tmp_path: Path) -> None:
    # A file where the graph should go makes the export fail.
    work_dir, source = tmp_path / "work", find_model(str(tiny_model))
    folder = work_dir / "encoders" / source.key
    (tmp_path / "draft" / "float.onnx").mkdir(parents=True)
    card = export_encoder(source, tmp_path / "draft")
    assert card.kind == REFERENCE
    assert card.note
    folder.mkdir(parents=True)
    (folder / "encoder.json").write_text(json.dumps(card.as_dict()))
    report = build_index(
        "acme", content(), tmp_path / "index", work_dir, BuildSettings(model=str(tiny_model))
    )
    assert report.manifest.encoder["kind"] == REFERENCE
    search = SnapshotSearch(tmp_path / "index")
    assert search.explain("acme", "tickets", "printer prints nothing", "").hits


def test_a_name_that_leads_nowhere_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ConfigurationError, match="folder"):
        find_model("nobody/no-such-model")


def test_a_model_has_a_key_of_its_own() -> None:
    assert ModelSource("a", "1", "").key != ModelSource("a", "2", "").key
