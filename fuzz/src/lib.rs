//! What each fuzz target does with its bytes: parse them, and hold the result to its promises. A target
//! panics where a promise is broken.

pub mod disk;
pub mod media;
pub mod wire;
