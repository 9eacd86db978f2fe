"""Values and rules of Tiproom: no I/O, no clock, no trio, nothing of ours imported from outside.

tip_activated   the one canonical event that drives every toy
vibration       what a toy is asked to do, and its limits
toy_settings    platform and model settings of the toy layer
tip_menu        which item, and so which vibration, an amount buys
routing         whose toys one tip reaches; the check again at dispatch
gating          which toggles a viewer's page may show
lovense         vibration x integration -> one vendor call
audit           the life of one target, as it is written down
frames, codec   what travels over a socket, and its two encodings
errors          every error code and every close code, with what the client does about it
"""
