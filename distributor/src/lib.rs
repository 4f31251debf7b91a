//! Takes live streams in, keeps them, and answers each consumer with the newest bytes that it lacks.
