"""The ledger: content-addressed artifacts with parents, and what can be asked of them."""
