"""The adapters: each turns one kind of input into a likelihood, and none imports another."""
