"""Pages: local web pages on this machine alone, with a secret in their address. Imported when one is opened: NiceGUI is
an extra."""
