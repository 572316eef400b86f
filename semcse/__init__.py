"""SemCSE: the study of semantic contrastive sentence embeddings for scientific abstracts (arXiv 2507.13105)."""

__version__ = "0.1.0"
