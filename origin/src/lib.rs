//! Turns a file, a folder or standard input into a stream and posts it to a distributor.
