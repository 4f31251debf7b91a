//! A group as it is told over HTTP.

use std::sync::Arc;

use freshet_protocol::doors::groups::{Phase, Received};
use serde::Serialize;

use crate::groups::{Group, Micros, Shared};

/// A group: times are microseconds on the distributor's clock, `position` is the byte that is played at `since`.
#[derive(Debug, Serialize)]
pub(super) struct View {
    group: u16,
    phase: &'static str,
    movie: Option<Movie>,
    clock: Micros,
    since: Micros,
    position: u64,
    /// Bytes a second.
    rate: u32,
    leader: Option<u32>,
    members: Vec<Member>,
}

#[derive(Debug, Serialize)]
struct Movie {
    id: u32,
    name: String,
}

#[derive(Debug, Serialize)]
struct Member {
    member: u32,
    ready: bool,
    /// Over UDP: datagrams of the movie that were sent to it, and what it says of them.
    sent: u64,
    lost: u32,
    out_of_order: u32,
    late: u32,
    duplicate: u32,
}

/// A group in a list.
#[derive(Debug, Serialize)]
pub(super) struct Item {
    group: u16,
    phase: &'static str,
    movie: Option<Movie>,
    members: usize,
}

/// All groups.
pub(super) fn list(all: &[(u16, Arc<Shared>)]) -> Vec<Item> {
    let item = |(group, shared): &(u16, Arc<Shared>)| {
        shared.with(|it, _| Item {
            group: *group,
            phase: name(it.phase()),
            movie: movie(it),
            members: it.members().count(),
        })
    };
    all.iter().map(item).collect()
}

impl View {
    pub(super) fn of(group: u16, shared: &Shared) -> Self {
        shared.with(|it, clock| {
            let (since, position) = it.place();
            Self {
                group,
                phase: name(it.phase()),
                movie: movie(it),
                clock,
                since,
                position,
                rate: it.rate(),
                leader: it.leader(),
                members: members(it),
            }
        })
    }
}

fn movie(group: &Group) -> Option<Movie> {
    group.movie().map(|movie| Movie { id: movie.id, name: movie.name.to_string() })
}

fn members(group: &Group) -> Vec<Member> {
    let member = |(id, member): (u32, &crate::groups::Member)| {
        let Received { lost, out_of_order, late, duplicate } = member.received;
        let (ready, sent) = (member.is_ready, member.sent);
        Member { member: id, ready, sent, lost, out_of_order, late, duplicate }
    };
    group.members().map(member).collect()
}

const fn name(phase: Phase) -> &'static str {
    match phase {
        Phase::Gathering => "gathering",
        Phase::Playing => "playing",
        Phase::Paused => "paused",
        Phase::Ended => "ended",
    }
}
