"""Labelers who gave no training label judge the end, after Ziegler et al. 2019; see README.md."""
