"""``wattcast train`` from the signature database, and the models of a coordinator."""
