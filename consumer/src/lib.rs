//! Takes a stream from a distributor: says which bytes it holds, and gets the rest.
