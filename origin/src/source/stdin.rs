//! Standard input into a disk copy, on a thread of its own: a pipe cannot be waited for otherwise.
//!
//! From a pipe the bytes are spliced: the kernel takes out of the pipe what it wrote into the file, so
//! no kill can come between. From anything else (a terminal, a socket, a file) they are read and
//! written at once; a kill -9 in that moment loses at most the 64 KiB that were just read.

use std::{io, os::fd::AsFd, thread, time::SystemTime};

use super::capture::Recorder;
use crate::{copy::Copy, limits::CAPTURE_BYTES};

/// Start the thread. It ends with its input, or with the process: nothing can wake a blocked read.
pub(super) fn begin(recorder: Recorder, finished: bool) -> io::Result<()> {
    let work = move || {
        let input = io::stdin();
        let ended = if finished { look(&recorder, &input) } else { capture(&recorder, &input) };
        if let Err(error) = ended {
            recorder.fail(error);
        }
    };
    thread::Builder::new().name("capture".into()).spawn(work).map(drop)
}

fn capture(recorder: &Recorder, input: impl AsFd) -> io::Result<()> {
    let copy = recorder.copy().ok_or(io::ErrorKind::Unsupported)?;
    let mut buffer = vec![0; CAPTURE_BYTES];
    let mut is_pipe = true;
    loop {
        let moved = if is_pipe {
            copy.splice(&input, recorder.end(), CAPTURE_BYTES)
        } else {
            read_and_write(copy, recorder.end(), &input, &mut buffer)
        };
        match moved {
            Ok(0) => break,
            Ok(bytes) => recorder.kept(bytes, SystemTime::now().into()),
            Err(error) if is_pipe && error.kind() == io::ErrorKind::Unsupported => is_pipe = false,
            Err(error) => return Err(error),
        }
    }
    recorder.finish();
    Ok(())
}

fn read_and_write(
    copy: &Copy,
    offset: u64,
    input: impl AsFd,
    buffer: &mut [u8],
) -> io::Result<usize> {
    let bytes = rustix::io::retry_on_intr(|| rustix::io::read(&input, &mut *buffer))?;
    copy.append(offset, buffer.get(..bytes).unwrap_or_default())?;
    Ok(bytes)
}

/// The copy is finished: is there more all the same?
fn look(recorder: &Recorder, input: impl AsFd) -> io::Result<()> {
    let bytes = rustix::io::retry_on_intr(|| rustix::io::read(&input, &mut [0]))?;
    recorder.looked(bytes > 0);
    Ok(())
}
