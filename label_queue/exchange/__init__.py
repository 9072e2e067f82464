"""Labels out of a ledger and into another: TRL's preference form, and our own full record."""
