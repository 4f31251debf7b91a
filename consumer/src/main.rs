//! The `consumer` command.

fn main() {}
