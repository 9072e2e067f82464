"""The human side: ledger, queries, leases, intake, simulated labelers, the retraining schedule."""
