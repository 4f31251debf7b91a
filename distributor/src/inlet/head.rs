//! The two fields of a head that say how long its body is, seen before hyper takes one of them away.

/// Looks through one message's head, in any slices, for the two fields that say a body's length.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    /// The beginning of the line at hand, in lower case.
    line: [u8; 18],
    /// Bytes of that line so far.
    length: usize,
    /// Lines that ended.
    lines: usize,
    chunked: bool,
    counted: bool,
    done: bool,
}

impl Scan {
    /// Is the head whole?
    pub(crate) fn is_done(&self) -> bool {
        self.done
    }

    /// Does what follows it say its own length, and the head does not say another?
    pub(crate) fn is_chunked(&self) -> bool {
        self.chunked && !self.counted
    }

    /// Does it say the body's length in two ways?
    pub(crate) fn has_two_framings(&self) -> bool {
        self.chunked && self.counted
    }

    /// Take the next slice, up to the head's end; how much of it that was.
    pub(crate) fn push(&mut self, slice: &[u8]) -> usize {
        for (at, &byte) in slice.iter().enumerate() {
            if self.done {
                return at;
            }
            self.take(byte);
        }
        slice.len()
    }

    fn take(&mut self, byte: u8) {
        match byte {
            b'\r' => {}
            b'\n' => self.end_line(),
            byte => {
                if let Some(place) = self.line.get_mut(self.length) {
                    *place = byte.to_ascii_lowercase();
                }
                self.length += 1;
            }
        }
    }

    fn end_line(&mut self) {
        let line = self.line.get(..self.length.min(self.line.len())).unwrap_or_default();
        self.chunked |= line.starts_with(b"transfer-encoding:");
        self.counted |= line.starts_with(b"content-length:");
        // Empty lines before a request are no end of it.
        self.done = line.is_empty() && self.lines > 0;
        self.lines += usize::from(!line.is_empty());
        self.length = 0;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn scan(head: &str, size: usize) -> bool {
        let mut scan = Scan::default();
        head.as_bytes().chunks(size).for_each(|slice| {
            scan.push(slice);
        });
        scan.is_done() && scan.has_two_framings()
    }

    proptest! {
        #[test]
        fn two_framings_are_seen_in_any_slices(size in 1..40usize, swap: bool) {
            let (one, two) = ("TRANSFER-Encoding: chunked\r\n", "content-LENGTH: 5\r\n");
            let (first, second) = if swap { (two, one) } else { (one, two) };
            let head = format!("\r\nPOST / HTTP/1.1\r\nHost: x\r\n{first}A: b\r\n{second}\r\n");
            prop_assert!(scan(&head, size));
        }

        #[test]
        fn what_comes_after_the_head_is_not_looked_at(size in 1..40usize) {
            let head = "POST / HTTP/1.1\r\nContent-Length: 50\r\nX-Transfer-Encoding: y\r\n\r\n";
            let body = format!("{head}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n");
            prop_assert!(!scan(&body, size));
        }
    }

    #[test]
    fn a_head_ends_where_its_body_begins() {
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        let mut scan = Scan::default();
        assert_eq!(scan.push(format!("{head}5\r\nhello").as_bytes()), head.len());
        assert!(scan.is_done() && scan.is_chunked());
    }
}
