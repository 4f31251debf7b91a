//! Consumers at the live edge, who are written to past hyper.

mod native;
mod plain;

/// How many of them there are.
const AT_THE_EDGE: &str = "freshet_consumers_at_the_edge";
