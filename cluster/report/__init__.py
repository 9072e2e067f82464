"""The report: from a run's folder to figures, pictures and one page."""
