"""The stage: performance menus' purchases, and each model's queue of them. It buys and pays through
the room and the ledger as anyone else would; neither knows it. Read `desk`, `stage`, `payments`."""
