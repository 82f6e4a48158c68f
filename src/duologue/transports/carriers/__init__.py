"""How telephone carriers frame a call's sound on their WebSockets: one file each, all the same to a `PhoneLine`."""
