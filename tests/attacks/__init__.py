"""Every attack of 85-attacks, driven through the public interfaces: `./run attacks`."""
