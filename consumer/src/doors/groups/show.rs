//! A group's movie as it is played: its bytes in order, when the group plays them.

use bytes::Bytes;

use super::{
    member::GroupMember,
    movie::{GroupMoment, GroupMovie, MovieError},
};
use crate::{
    doors::{DoorError, DoorUrl},
    token::Token,
};

/// Somebody who looks on: he neither leads nor chooses.
#[derive(Debug)]
pub struct GroupShow(GroupMovie);

impl GroupShow {
    /// Join the group at that port; `http` is the distributor, for what is lost on the way.
    ///
    /// # Errors
    ///
    /// Nobody answers there.
    pub async fn join(url: &DoorUrl, http: &str, token: Option<Token>) -> Result<Self, DoorError> {
        let member = GroupMember::join(url, 0).await?;
        Ok(Self(GroupMovie::new(member, http, token, |_| tempfile::tempfile())))
    }

    /// The next bytes, when they are played; `None` at the end. Cancel safe.
    ///
    /// # Errors
    ///
    /// The group is gone, or what was lost cannot be had.
    pub async fn next(&mut self) -> Result<Option<Bytes>, MovieError> {
        loop {
            if self.0.whole().is_some_and(|(_, bytes, _)| self.0.at() >= bytes) {
                self.0.member().leave();
                return Ok(None);
            }
            match self.0.next().await? {
                GroupMoment::Told(_) | GroupMoment::Begins => {}
                GroupMoment::Passed => {
                    let bytes = self.0.play()?;
                    if !bytes.is_empty() {
                        return Ok(Some(bytes.into()));
                    }
                }
                GroupMoment::Gone => return Err(MovieError::Gone),
            }
        }
    }
}
