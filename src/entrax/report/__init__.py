"""Figures, films and HTML reports, made from the files of a run's directory."""
