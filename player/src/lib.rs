//! Shows a stream: buffers its bytes and hands them to a player.
