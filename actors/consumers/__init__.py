"""Who reads TipActivated. Each keeps its own record per tipId; none knows another."""
