//! Runs the whole chain, measures it, and holds the tests that need several roles.
