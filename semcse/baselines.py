"""What words alone give: TF-IDF and its truncated SVD (latent semantic analysis) as encoders, by scikit-learn."""

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer


class WordCounts:
    """TF-IDF vectors of length one, fitted on the texts to be compared; with `dimensions`, their truncated SVD.

    Words of two letters and more, lower case, English stop words left out, sublinear counts. Without `dimensions` the
    vocabulary is cut to the `vocabulary` most frequent words, since the vectors are dense.
    """

    separator = ""

    def __init__(self, corpus: Sequence[str], dimensions: int | None = None, vocabulary: int = 20_000) -> None:
        if len(corpus) < 2:
            raise ValueError(f"TF-IDF is fitted on the texts to be compared; got {len(corpus)}")
        self.dimensions = dimensions
        self.words = TfidfVectorizer(
            stop_words="english", sublinear_tf=True, dtype=np.float32, max_features=None if dimensions else vocabulary
        )
        counts = self.words.fit_transform(corpus)
        self.svd = None
        if dimensions is not None:
            if dimensions >= min(counts.shape):
                raise ValueError(f"{dimensions} dimensions need more than {min(counts.shape)} texts and words")
            self.svd = TruncatedSVD(dimensions, random_state=0).fit(counts)
        settings = repr((dimensions, vocabulary)).encode()
        self.fingerprint = hashlib.sha256(settings + "\0".join(corpus).encode()).hexdigest()

    def encode(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Vectors (N, D); a text without a known word is the zero vector, at cosine 0 from every other."""
        counts = self.words.transform(texts)
        dense = counts.toarray() if self.svd is None else self.svd.transform(counts)
        return np.asarray(dense, dtype=np.float32)
