//! Examples in the documents: read from fenced blocks, played, and compared with what they say.
//!
//! ```text
//!   ```http-example        ```console
//!   > GET /x HTTP/1.1      $ echo hello     commands; they run in one bash
//!   < 200                  hello            what they print, all together
//!   < ETag: "..."          ```
//!   <
//!   < body                 `...` stands for any text in what is expected
//! ```

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
};

use super::command::DEADLINE;

/// A fenced block.
#[derive(Debug)]
pub(crate) struct Block {
    /// Line of its fence, from 1.
    pub(crate) line: usize,
    pub(crate) text: String,
}

/// All blocks of `text` that are marked `mark`.
pub(crate) fn blocks(text: &str, mark: &str) -> Vec<Block> {
    let (fence, mut found, mut open) = (format!("```{mark}"), Vec::new(), None::<Block>);
    for (number, line) in (1..).zip(text.lines()) {
        match &mut open {
            Some(_) if line == "```" => found.extend(open.take()),
            Some(block) => block.text.extend([line, "\n"]),
            None if line == fence => open = Some(Block { line: number, text: String::new() }),
            None => {}
        }
    }
    assert!(open.is_none(), "a block of {mark} does not end");
    found
}

/// One side of an exchange: first line, fields, body.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Message {
    first: String,
    fields: Vec<(String, String)>,
    body: Option<String>,
}

impl Message {
    /// From the lines of `block` that begin with `mark`.
    fn of(block: &Block, mark: char) -> Self {
        let ours = |line: &&str| line.starts_with(mark);
        let mut lines = block
            .text
            .lines()
            .filter(ours)
            .map(|line| &line[1..])
            .map(|line| line.strip_prefix(' ').unwrap_or(line));
        let first =
            lines.next().unwrap_or_else(|| panic!("no {mark} in the block at {}", block.line));
        let mut message = Self { first: first.into(), ..Self::default() };
        for line in lines.by_ref().take_while(|line| !line.is_empty()) {
            let (name, value) = line.split_once(':').unwrap_or_else(|| panic!("no field: {line}"));
            message.fields.push((name.to_lowercase(), value.trim().into()));
        }
        let body: Vec<_> = lines.collect();
        message.body = (!body.is_empty()).then(|| body.join("\n"));
        message
    }

    fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }
}

/// Plays the exchange of `block` with the server at `address`.
///
/// # Errors
///
/// What the reply has that it should not have, or the other way round.
pub(crate) fn play_exchange(address: &str, block: &Block) -> Result<(), String> {
    let strange = |line: &&str| !line.starts_with(['>', '<']);
    assert_eq!(block.text.lines().find(strange), None, "in the block at {}", block.line);
    let (request, expected) = (Message::of(block, '>'), Message::of(block, '<'));
    let reply = ask(address, &request, expected.body.is_some());
    differences(&expected, &reply).map_or(Ok(()), |why| {
        Err(format!(
            "example at line {}: {why}\nrequest: {request:?}\nreply: {reply:?}",
            block.line
        ))
    })
}

fn differences(expected: &Message, reply: &Message) -> Option<String> {
    let status = reply.first.split(' ').nth(1).unwrap_or_default();
    if status != expected.first {
        return Some(format!("status {status}, not {}", expected.first));
    }
    for (name, value) in &expected.fields {
        let found = reply.field(name);
        if !found.is_some_and(|found| fits(value, found)) {
            return Some(format!("{name} is {found:?}, not {value:?}"));
        }
    }
    let expected = expected.body.as_ref()?;
    let body = reply.body.clone().unwrap_or_default().replace("\r\n", "\n");
    (!fits(expected, body.trim_end())).then(|| format!("body is {body:?}, not {expected:?}"))
}

/// Is `text` what `pattern` says, where `...` stands for any text?
pub(crate) fn fits(pattern: &str, text: &str) -> bool {
    let pieces: Vec<_> = pattern.split("...").collect();
    let [first, middle @ .., last] = pieces.as_slice() else { return pattern == text };
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    for piece in middle {
        let Some(at) = rest.find(piece) else { return false };
        rest = &rest[at + piece.len()..];
    }
    rest.ends_with(last)
}

/// Send `request`, and read the reply: its head, and its body where it is wanted.
fn ask(address: &str, request: &Message, body_wanted: bool) -> Message {
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    let body = request.body.clone().unwrap_or_default();
    let mut head = format!("{}\r\nHost: {address}\r\n", request.first);
    for (name, value) in &request.fields {
        head += &format!("{name}: {value}\r\n");
    }
    if request.body.is_some() {
        head += &format!("Content-Length: {}\r\n", body.len());
    }
    socket.write_all(format!("{head}\r\n{body}").as_bytes()).unwrap();

    let mut reader = BufReader::new(socket);
    let mut reply = Message { first: line_of(&mut reader), ..Message::default() };
    loop {
        let line = line_of(&mut reader);
        let Some((name, value)) = line.split_once(':') else { break };
        reply.fields.push((name.to_lowercase(), value.trim().into()));
    }
    if body_wanted {
        reply.body = Some(String::from_utf8_lossy(&body_of(&mut reader, &reply)).into_owned());
    }
    reply
}

fn body_of(reader: &mut impl BufRead, head: &Message) -> Vec<u8> {
    let mut body = Vec::new();
    if head.field("transfer-encoding").is_none() {
        let length = head.field("content-length").expect("a length or chunks").parse().unwrap();
        reader.take(length).read_to_end(&mut body).unwrap();
        return body;
    }
    loop {
        let size = u64::from_str_radix(&line_of(reader), 16).expect("size of a chunk");
        if size == 0 {
            return body;
        }
        reader.by_ref().take(size).read_to_end(&mut body).unwrap();
        line_of(reader);
    }
}

fn line_of(reader: &mut impl BufRead) -> String {
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    line.trim_end().into()
}

/// A `console` block, apart: the script, and what it prints.
pub(crate) fn script_of(block: &Block) -> (String, String) {
    let (commands, output): (Vec<_>, Vec<_>) =
        block.text.lines().partition(|line| line.starts_with("$ "));
    let commands: Vec<_> = commands.iter().map(|line| &line[2..]).collect();
    (commands.join("\n"), output.join("\n"))
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, thread};

    use super::*;

    /// Plays `example` against a server that gives `reply` to whatever it is asked.
    fn play(example: &str, reply: &'static str) -> Result<(), String> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let server = thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(socket.try_clone().unwrap());
            while !line_of(&mut reader).is_empty() {}
            socket.write_all(reply.as_bytes()).unwrap();
        });
        let played = play_exchange(&address, &Block { line: 7, text: example.into() });
        server.join().unwrap();
        played
    }

    const EXAMPLE: &str =
        "> GET /x HTTP/1.1\n> Range: bytes=0-\n< 206\n< ETag: \"...\"\n<\n< a...c\n< d\n";

    #[test]
    fn a_true_example_passes_in_either_framing() {
        let chunked = "HTTP/1.1 206 P\r\netag: \"1\"\r\ntransfer-encoding: chunked\r\n\r\n\
                       4\r\nabbc\r\n3\r\n\r\nd\r\n0\r\n\r\n";
        assert_eq!(play(EXAMPLE, chunked), Ok(()));
        let counted = "HTTP/1.1 206 P\r\nETag: \"1\"\r\nContent-Length: 6\r\n\r\nac\r\nd\n";
        assert_eq!(play(EXAMPLE, counted), Ok(()));
    }

    #[test]
    fn an_example_that_is_not_true_says_what_differs() {
        for (reply, why) in [
            ("HTTP/1.1 200 OK\r\nETag: \"1\"\r\nContent-Length: 0\r\n\r\n", "status 200, not 206"),
            ("HTTP/1.1 206 P\r\nContent-Length: 0\r\n\r\n", "etag is None"),
            ("HTTP/1.1 206 P\r\nETag: 1\r\nContent-Length: 0\r\n\r\n", "etag is Some(\"1\")"),
            ("HTTP/1.1 206 P\r\nETag: \"\"\r\nContent-Length: 1\r\n\r\na", "body is \"a\""),
        ] {
            let told = play(EXAMPLE, reply).unwrap_err();
            assert!(told.contains(why) && told.contains("line 7"), "{told}");
        }
    }

    #[test]
    fn three_dots_stand_for_any_text() {
        for (pattern, text) in [("a", "a"), ("a...", "a"), ("...c", "abc"), ("a...b...c", "a-b-c")]
        {
            assert!(fits(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("a", "ab"), ("a...", "ba"), ("...c", "cb"), ("a...b...c", "a-c")] {
            assert!(!fits(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn only_marked_blocks_are_taken() {
        let text = "```sh\nno\n```\ntext\n```console\n$ echo a\na\n$ true\n```\n";
        let found = blocks(text, "console");
        assert_eq!((found.len(), found[0].line), (1, 5));
        assert_eq!(script_of(&found[0]), ("echo a\ntrue".into(), "a".into()));
    }
}
