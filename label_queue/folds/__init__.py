"""What the ledger says, folded record by record into what can be asked. Nothing here writes."""
