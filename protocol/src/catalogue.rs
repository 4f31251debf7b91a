//! The catalogue: what `/live/` lists.

use serde::{Deserialize, Serialize};

use crate::{etag::ETag, name::StreamName, stamp::Stamp};

/// All streams of a distributor, by number.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Catalogue {
    /// One entry a stream, in order of creation.
    pub streams: Vec<CatalogueEntry>,
}

/// One stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CatalogueEntry {
    /// Its number: from 1, in order of creation, kept over restarts, never used again.
    pub id: u64,
    /// Its name.
    pub name: StreamName,
    /// Its incarnation.
    pub etag: ETag,
    /// Its media type, where the origin told it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub content_type: Option<String>,
    /// Is an origin posting right now?
    pub live: bool,
    /// Its complete length, once it is known.
    pub length: Option<u64>,
    /// What the distributor holds, as `Content-Range` says it.
    pub held: String,
    /// Bytes held.
    pub bytes: u64,
    /// Bytes taken in since the distributor began: two looks give a rate.
    #[serde(default)]
    pub received: u64,
    /// Consumers that follow it now.
    pub consumers: u64,
    /// When it was created, in nanoseconds since the Unix epoch.
    pub created: Stamp,
    /// When its newest byte came in, in nanoseconds since the Unix epoch.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub updated: Option<Stamp>,
}
