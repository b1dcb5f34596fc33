"""What the product is compared with: BM25 alone, dense vectors alone, TF-IDF as in the original design."""

import bm25s
import numpy as np
import Stemmer
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer

from bench.labelled import LabelledSet
from bench.metrics import ranking_of
from enhancer_dagster.search.documents import passage

Rankings = list[NDArray[np.int64]]


def tfidf(labelled: LabelledSet) -> Rankings:
    """5,000 features, English stop words, cosine."""
    vectorizer = TfidfVectorizer(max_features=5_000, stop_words="english")
    documents = vectorizer.fit_transform(texts(labelled))
    scores = (vectorizer.transform(asked(labelled)) @ documents.T).toarray()
    return _rankings(labelled, scores)


def bm25(labelled: LabelledSet) -> Rankings:
    """bm25s with its defaults, stemmed, stop words out."""
    stemmer = Stemmer.Stemmer("english")

    def tokenize(values: list[str]) -> list[list[str]]:
        return bm25s.tokenize(  # pyright: ignore[reportReturnType]
            values, stopwords="en", stemmer=stemmer, return_ids=False, show_progress=False
        )

    model = bm25s.BM25()
    model.index(tokenize(texts(labelled)), show_progress=False)
    known = model.vocab_dict
    scores = [
        model.get_scores([t for t in tokens if t in known])
        if any(t in known for t in tokens)
        else np.zeros(len(labelled.documents))
        for tokens in tokenize(asked(labelled))
    ]
    return _rankings(labelled, np.array(scores))


def dense(labelled: LabelledSet, documents: NDArray[np.float32], queries: NDArray[np.float32]) -> Rankings:
    """Cosine of vectors made elsewhere."""
    return _rankings(labelled, queries @ documents.T)


def texts(labelled: LabelledSet) -> list[str]:
    """Title and body of every document."""
    return [passage(document.title, document.body) for document in labelled.documents]


def asked(labelled: LabelledSet) -> list[str]:
    """The text of every query."""
    return [passage(question.query.title, question.query.body) for question in labelled.questions]


def _rankings(labelled: LabelledSet, scores: NDArray) -> Rankings:
    return [ranking_of(row, q) for row, q in zip(scores, labelled.questions, strict=True)]
