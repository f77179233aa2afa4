"""Data: rendered scenes with every label, photographs that come with scikit-image, and real data sets."""
