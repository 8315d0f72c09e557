"""The demo: the lifecycle of real keys, played through the client, audited and attacked."""
