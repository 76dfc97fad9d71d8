"""Vector indexes behind HTTP: made, filled and searched, and on disk before a write is answered."""

VERSION = "17.0.0"
