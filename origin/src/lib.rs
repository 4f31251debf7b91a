//! Turns a file, a folder, standard input, a capture or a test card into a stream and posts it to a distributor.
//!
//! ```text
//!   source ──▶ have ─┐
//!   (file, pipe,     ├──▶ resume: next step ──▶ push: one POST ──▶ distributor
//!    reader; copy)   │                                │
//!                    └───────── held ◀────────────────┘
//! ```
//!
//! The loop remembers nothing of what it sent. After every reply, and after every cut by a new handshake,
//! it compares what the distributor holds with what it has and sends what is missing. So no byte is lost
//! or doubled, whatever is killed whenever.
//!
//! - [`Target`]: where to; a URL taken apart.
//! - [`Source`]: what; a file, standard input, any reader, with [`Keep`] saying where a capture is kept.
//! - [`Encoder`]: an installed ffmpeg as a source, and what it captures.
//! - [`TestCard`]: a picture with a clock and a tone as a source, drawn and encoded here.
//! - [`Push`]: the loop; [`Options`] go in, [`Stats`] can be watched, a [`Summary`] comes out.
//! - [`walk`]: the files of a folder with their streams' names.
//! - [`bytes_per_second`]: how fast a media file plays.

pub mod limits;

mod backoff;
mod copy;
mod encoder;
mod media_type;
mod pace;
mod probe;
mod push;
mod reply;
mod resume;
mod run;
mod source;
mod target;
mod terms;
mod testcard;

pub use copy::CopyError;
pub use encoder::{Container, Encoder, EncoderError, Input, InputError, Size, SizeError};
pub use media_type::media_type;
pub use pace::{Rate, RateError};
pub use probe::{ProbeError, bytes_per_second};
pub use push::LinkError;
pub use resume::{Late, MismatchError};
pub use run::Push;
pub use source::{Folder, FolderEntry, FolderError, Keep, LeftOut, Source, SourceError, walk};
pub use target::{Target, TargetError};
pub use terms::{Options, PushError, State, Stats, Summary};
pub use testcard::{TestCard, TestCardError};
