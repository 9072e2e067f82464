"""Style: text continued in a better mood, or more vividly (Ziegler et al. 2019, figs. 2 and 3)."""
