"""The ledger by itself under fire: writers killed, disks cut off."""
