"""What can be different in the exercises of each chapter."""
