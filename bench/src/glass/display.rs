//! A screen that nobody sits at: Xvfb, whose framebuffer is a file, in the form of X Window Dump.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    fs::{self, File},
    os::unix::fs::FileExt,
    path::Path,
    thread,
};

use anyhow::{Context, bail};
use freshet_origin::Size;

use crate::{
    clock::Moment,
    limits::{ROLE_ANSWER, SAMPLE_EVERY},
    role::Role,
};

/// The screen.
#[derive(Debug)]
pub struct Display {
    name: String,
    frame: Framebuffer,
    /// Who draws it, where that is ours.
    _server: Option<Role>,
}

/// Where the pixels are (the header of X Window Dump, version 7: words of 32 bits, highest byte first).
#[derive(Debug)]
struct Framebuffer {
    file: File,
    begin: u64,
    line_bytes: usize,
    width: usize,
    height: usize,
}

/// Words of the header, and those that are looked at.
const WORDS: usize = 25;
const HEADER_SIZE: usize = 0;
const WIDTH: usize = 4;
const HEIGHT: usize = 5;
const BITS_PER_PIXEL: usize = 11;
const LINE_BYTES: usize = 12;
const COLOURS: usize = 19;
/// Bytes of an entry of its colour table.
const COLOUR_BYTES: u32 = 12;

/// Bytes of a pixel: blue, green, red, nothing. Green is nearly as bright as the whole.
const PIXEL_BYTES: usize = 4;
const GREEN: usize = 1;

/// For whoever is on this machine, with nothing on it but what is shown.
const QUIET: [&str; 4] = ["-ac", "-nolisten", "tcp", "-nocursor"];

impl Display {
    /// Start one of the size of the picture, with what it keeps in `folder`.
    ///
    /// # Errors
    ///
    /// It does not come up, or keeps its picture in a form that is not known.
    pub fn open(folder: &Path, size: Size) -> anyhow::Result<Self> {
        let (width, height) = size.sides();
        let log = folder.join("xvfb.log");
        let text = |path: &Path| path.to_str().map(str::to_owned).context("a path is no text");
        let (screen, place, log_name) =
            (format!("{width}x{height}x24"), text(folder)?, text(&log)?);
        let words = ["Xvfb", "-displayfd", "1", "-screen", "0", &screen, "-fbdir", &place];
        let words = [&words[..], &QUIET].concat();
        let mut server = Role::guard("Xvfb", &log_name, &words, 0)
            .context("Xvfb does not start (package xvfb)")?;
        let number = number(&mut server, &log)?;
        Ok(Self { _server: Some(server), ..Self::of(number, folder)? })
    }

    /// The one of that number, which keeps its framebuffer in `folder`.
    ///
    /// # Errors
    ///
    /// There is none, or in a form that is not known.
    pub fn of(number: u32, folder: &Path) -> anyhow::Result<Self> {
        let frame = Framebuffer::open(&folder.join("Xvfb_screen0"))?;
        Ok(Self { name: format!(":{number}"), frame, _server: None })
    }

    /// What `DISPLAY` is for whoever is to be seen on it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Width and height.
    #[must_use]
    pub const fn size(&self) -> (usize, usize) {
        (self.frame.width, self.frame.height)
    }

    /// What is on it now.
    #[must_use]
    pub const fn look(&self) -> Look<'_> {
        Look { frame: &self.frame, lines: RefCell::new(BTreeMap::new()) }
    }

    /// All that is on it, at one moment: for whoever looks long, while it changes.
    #[must_use]
    pub fn still(&self) -> Look<'_> {
        let frame = &self.frame;
        Look { frame, lines: RefCell::new(frame.lines()) }
    }

    /// Black it out, so that nothing of the last player is taken for the next one's.
    ///
    /// # Errors
    ///
    /// The framebuffer cannot be written.
    pub fn clear(&self) -> anyhow::Result<()> {
        let black = vec![0; self.frame.line_bytes * self.frame.height];
        self.frame.file.write_all_at(&black, self.frame.begin).context("cannot clear the screen")
    }
}

/// Xvfb takes a number that is free, and says which when it can be used.
fn number(server: &mut Role, log: &Path) -> anyhow::Result<u32> {
    let until = Moment::now().after(ROLE_ANSWER);
    loop {
        let said = fs::read_to_string(log).unwrap_or_default();
        if let Some(number) = said.lines().find_map(|line| line.trim().parse().ok()) {
            return Ok(number);
        }
        if server.has_ended()? || until.left().is_zero() {
            bail!("Xvfb does not come up: {said}");
        }
        thread::sleep(SAMPLE_EVERY);
    }
}

impl Framebuffer {
    fn open(path: &Path) -> anyhow::Result<Self> {
        let file = File::options().read(true).write(true).open(path);
        let file = file.with_context(|| format!("no framebuffer {}", path.display()))?;
        let mut header = [0; WORDS * 4];
        file.read_exact_at(&mut header, 0).context("the framebuffer has no header")?;
        let words: Vec<u32> = header
            .chunks_exact(4)
            .map(|word| word.iter().fold(0, |all, &byte| all << 8 | u32::from(byte)))
            .collect();
        let word = |at: usize| words.get(at).copied().unwrap_or_default();
        if word(BITS_PER_PIXEL) as usize != PIXEL_BYTES * 8 {
            bail!("the screen has {} bits for a pixel, and 32 are read", word(BITS_PER_PIXEL));
        }
        Ok(Self {
            file,
            begin: u64::from(word(HEADER_SIZE) + word(COLOURS) * COLOUR_BYTES),
            line_bytes: word(LINE_BYTES) as usize,
            width: word(WIDTH) as usize,
            height: word(HEIGHT) as usize,
        })
    }

    fn lines(&self) -> BTreeMap<usize, Vec<u8>> {
        let mut all = vec![0; self.line_bytes * self.height];
        // What is not there is black.
        let _ = self.file.read_exact_at(&mut all, self.begin);
        all.chunks_exact(self.line_bytes.max(1)).map(<[u8]>::to_vec).enumerate().collect()
    }

    fn line(&self, y: usize) -> Vec<u8> {
        let mut line = vec![0; self.line_bytes];
        let at = self.begin + (y * self.line_bytes) as u64;
        // A line that is not there is a black one.
        let _ = self.file.read_exact_at(&mut line, at);
        line
    }
}

/// A look at the screen: each line is read once, when it is first asked for.
#[derive(Debug)]
pub struct Look<'a> {
    frame: &'a Framebuffer,
    lines: RefCell<BTreeMap<usize, Vec<u8>>>,
}

impl Look<'_> {
    /// How bright it is there.
    #[must_use]
    pub fn luma(&self, x: usize, y: usize) -> u8 {
        let mut lines = self.lines.borrow_mut();
        let line = lines.entry(y).or_insert_with(|| self.frame.line(y));
        line.get(x * PIXEL_BYTES + GREEN).copied().unwrap_or_default()
    }
}
