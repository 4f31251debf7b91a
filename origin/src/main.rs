//! The `origin` command.

fn main() {}
