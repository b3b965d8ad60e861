"""What `ccs doctor` looks at: the folder of an embedded store, and the server."""
