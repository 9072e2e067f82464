"""How many labels each way of asking needs, on real learners and simulated labelers."""
