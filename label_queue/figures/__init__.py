"""The label side's figures."""
