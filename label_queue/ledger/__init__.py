"""The ledger: its records and promises, the training set as a fold over it, SQL."""
