//! The words of the wire, shared by every role: what a stream is called, where a byte stands in it,
//! who holds which bytes, and when they were captured.
//!
//! Pure values and parsers. No runtime, no clock, no socket: whatever is here can be tested with a
//! table, compared with a model, and fuzzed without a server.
//!
//! ```text
//!   origin ──"bytes 0-4095/*"──▶ distributor ◀──"bytes 0-99,200-299/*"── consumer
//!            these bytes belong here              these bytes I hold
//! ```

pub mod doors;
pub mod field;
pub mod limits;
pub mod way;

mod card;
mod catalogue;
mod content_range;
mod digest;
mod etag;
mod from;
mod multipart;
mod name;
mod prefer;
mod problem;
mod query;
mod range;
mod role;
mod route;
mod stamp;
mod timeline;

pub use card::CardCode;
pub use catalogue::{Catalogue, CatalogueEntry};
pub use content_range::{ChunkRange, ContentRangeError, Held, Placed};
pub use digest::{DigestError, Sha256Digest};
pub use etag::{ETag, ETagError, ETagList};
pub use from::From;
pub use multipart::{PartError, PartHead, PartReader, PartStep, boundary_of};
pub use name::{NameError, StreamName};
pub use prefer::wait_of;
pub use problem::Problem;
pub use query::{Backfill, Behind, Delivery, QueryError, Skip};
pub use range::{ByteRange, RangeError, RangeSet};
pub use role::{Role, RoleError};
pub use route::{GroupPart, Route, RouteError};
pub use stamp::{RoundTrip, Stamp, StampError};
pub use timeline::{Listing, TimelineEntry};
