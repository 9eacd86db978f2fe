"""protocol, actors, store, sockets mirror the packages; e2e, browser and simulation run it all."""
