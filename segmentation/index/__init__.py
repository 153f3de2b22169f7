"""From a changed attribute to the segments it flips: atoms by value, segments by atom, and the immutable catalogue."""
