//! The `player` command.

fn main() {}
