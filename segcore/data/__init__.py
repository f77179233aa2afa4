"""Data: rendered scenes with every label, and the photographs that come with scikit-image."""
