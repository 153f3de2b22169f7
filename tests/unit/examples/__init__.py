"""The examples without a stack."""
