"""How fast the matching engine finds flips, beside evaluating every segment and beside a JSONLogic engine."""
