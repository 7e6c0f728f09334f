"""One thin command per rule: read inputs, call the library, write outputs."""
