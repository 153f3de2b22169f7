"""What an operator does to a whole workspace: move it, back it up, restore it, clear what was erased."""
