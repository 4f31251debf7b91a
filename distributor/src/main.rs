//! The `distributor` command.

fn main() {}
