//! Is our copy the origin's? Its SHA-256 against the one that the distributor computed.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use freshet_protocol::{ETag, Sha256Digest, field};
use http::HeaderValue;
use sha2::{Digest, Sha256};
use tokio::task::spawn_blocking;

use crate::{
    fetch::{Deadlines, Fetch, FetchError},
    limits,
    request::{Client, Cut},
};

/// Why a copy is not proved to be the origin's.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// It is another one.
    #[error("the copy differs: its digest is {ours}, the distributor's {theirs}")]
    Differs {
        /// Of our copy.
        ours: Sha256Digest,
        /// Of the distributor's.
        theirs: Sha256Digest,
    },
    /// The distributor does not say.
    #[error("the distributor gives no digest of the stream")]
    NoDigest,
    /// The distributor cannot be asked.
    #[error("the distributor cannot be asked for the digest")]
    Ask(#[source] Cut),
    /// The stream there is another one by now, or none.
    #[error("the stream there is not the one that was taken")]
    Replaced,
    /// The copy cannot be read.
    #[error("cannot read the copy")]
    Read(#[from] io::Error),
    /// The stream there is not ours to ask about.
    #[error(transparent)]
    Fetch(#[from] FetchError),
}

/// The SHA-256 of the file at `path`.
///
/// # Errors
///
/// It cannot be read.
pub async fn digest_of_file(path: &Path) -> io::Result<Sha256Digest> {
    let path = path.to_owned();
    spawn_blocking(move || {
        let (mut file, mut hash) = (File::open(path)?, Sha256::new());
        let mut buffer = vec![0; limits::HASH_BYTES];
        loop {
            let read = file.read(&mut buffer)?;
            match buffer.get(..read) {
                Some(bytes) if read > 0 => hash.update(bytes),
                _ => return Ok(Sha256Digest(hash.finalize().into())),
            }
        }
    })
    .await?
}

/// Compare `ours` with what the distributor says of the complete stream.
///
/// # Errors
///
/// It differs, or cannot be compared.
pub async fn verify(
    fetch: &Fetch,
    etag: Option<&ETag>,
    ours: Sha256Digest,
) -> Result<(), VerifyError> {
    let deadlines = Deadlines { reply_head: limits::DIGEST_REPLY, ..fetch.deadlines };
    let mut client = Client::new(fetch.url.clone(), fetch.token.clone(), deadlines);
    let want = (field::WANT_REPR_DIGEST, HeaderValue::from_static("sha-256=1"));
    let head =
        client.head(vec![want], std::time::Duration::ZERO).await.map_err(VerifyError::Ask)?;
    if !head.status.is_success() {
        let cut = crate::ask::refusal(fetch, &head, String::new())?;
        return Err(VerifyError::Ask(cut));
    }
    if etag.is_some() && head.etag.as_ref() != etag {
        return Err(VerifyError::Replaced);
    }
    match head.digest.ok_or(VerifyError::NoDigest)? {
        theirs if theirs == ours => Ok(()),
        theirs => Err(VerifyError::Differs { ours, theirs }),
    }
}
