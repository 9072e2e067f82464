"""Gold scores: what simulated labelers want of a response, one score a module, behind one port."""
