"""Summaries of news articles by what people prefer (Ziegler et al. 2019, Stiennon et al. 2020)."""
