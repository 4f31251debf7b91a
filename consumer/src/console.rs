//! Where commands come from: a prompt on a terminal, or the lines of a pipe.

use std::{
    io::{self, IsTerminal, Write},
    sync::mpsc::{SyncSender, sync_channel},
    thread,
};

use rustyline::{DefaultEditor, error::ReadlineError};
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines, Stdin},
    sync::mpsc,
};

/// Where commands come from, and where answers to people go.
pub(crate) enum Console {
    Terminal(Terminal),
    Pipe(Lines<BufReader<Stdin>>),
}

/// A prompt. It is shown when the command before was carried out; what there is to tell while it stands
/// there is told before the next one, as a shell does of its jobs.
pub(crate) struct Terminal {
    lines: mpsc::Receiver<String>,
    /// Lets the prompt go on.
    go_on: SyncSender<()>,
    /// Is no prompt there?
    is_busy: bool,
    /// Of one command, so a few lines.
    untold: Vec<String>,
}

impl Console {
    /// The prompt on a terminal, the lines of whatever else standard input is.
    pub(crate) fn open(prompt: &str) -> anyhow::Result<Self> {
        if io::stdin().is_terminal() {
            return Ok(Self::Terminal(Terminal::open(prompt)?));
        }
        Ok(Self::Pipe(BufReader::new(tokio::io::stdin()).lines()))
    }

    pub(crate) fn is_terminal(&self) -> bool {
        matches!(self, Self::Terminal(_))
    }

    /// The next command; `None` when there are no more. Cancel safe.
    pub(crate) async fn next(&mut self) -> io::Result<Option<String>> {
        match self {
            Self::Terminal(terminal) => Ok(terminal.next().await),
            Self::Pipe(lines) => lines.next_line().await,
        }
    }

    /// Tell a person something, whatever is being typed.
    pub(crate) fn tell(&mut self, text: &str) {
        // Somebody who is not there any more is told nothing.
        let _ = match self {
            Self::Terminal(terminal) => terminal.tell(text),
            Self::Pipe(_) => writeln!(io::stderr(), "{text}"),
        };
    }
}

impl Terminal {
    fn open(prompt: &str) -> anyhow::Result<Self> {
        let mut editor = DefaultEditor::new()?;
        let (sender, lines) = mpsc::channel(1);
        let (go_on, told) = sync_channel(1);
        let prompt = prompt.to_owned();
        // Not joined: it may wait for a key for ever, and ends with the process.
        thread::Builder::new().name("prompt".into()).spawn(move || {
            while told.recv().is_ok() {
                let Ok(line) = read(&mut editor, &prompt) else { return };
                if sender.blocking_send(line).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { lines, go_on, is_busy: true, untold: Vec::new() })
    }

    async fn next(&mut self) -> Option<String> {
        if std::mem::take(&mut self.is_busy) {
            // It waits for this and nothing else, so that there is room; or it has ended.
            let _ = self.go_on.try_send(());
        }
        let line = self.lines.recv().await;
        self.is_busy = true;
        for text in std::mem::take(&mut self.untold) {
            // Somebody who is not there any more is told nothing.
            let _ = self.tell(&text);
        }
        line
    }

    fn tell(&mut self, text: &str) -> io::Result<()> {
        if self.is_busy {
            return writeln!(io::stderr(), "{text}");
        }
        self.untold.push(text.into());
        Ok(())
    }
}

fn read(editor: &mut DefaultEditor, prompt: &str) -> Result<String, ReadlineError> {
    let line = editor.readline(prompt)?;
    // A line that cannot be kept is only typed again.
    let _ = editor.add_history_entry(&line);
    Ok(line)
}
