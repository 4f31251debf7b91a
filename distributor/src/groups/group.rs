//! What a group is and does, without sockets and clocks: who is here, what was chosen, where the movie is.
//!
//! ```text
//!   gathering ──start, or the registration time──▶ playing ◀──pause, resume──▶ paused
//!                                                     └──the end of the movie──▶ ended ──▶ closed
//! ```
//!
//! Both transports do the same things to it. Times are microseconds on the distributor's clock, and an
//! argument. What changed is kept as a short list, from which each who listens takes what is new.

use std::collections::{BTreeMap, VecDeque};

use freshet_protocol::{
    StreamName,
    doors::groups::{Event, Phase, Received},
};

use super::key::Key;
use crate::limits::{
    GROUP_CHANGES_MAX, GROUP_EMPTY, GROUP_LEAD, GROUP_MEMBERS_MAX, GROUP_RATE_MAX,
    GROUP_SILENCE_MAX,
};

/// Microseconds on the distributor's clock.
pub(crate) type Micros = u64;

/// A group.
#[derive(Debug)]
pub(crate) struct Group {
    terms: Terms,
    members: BTreeMap<u32, Member>,
    next: u32,
    leader: Option<u32>,
    movie: Option<Chosen>,
    phase: Phase,
    since: Micros,
    position: u64,
    /// Bytes a second that the movie is sent with, and played.
    rate: u32,
    /// When it begins by itself, where a movie was chosen.
    begins: Micros,
    /// When nobody is left, since when.
    empty: Option<Micros>,
    changes: VecDeque<Change>,
    /// How many changes there were.
    version: u64,
    /// Who has this leads it, over HTTP.
    key: Key,
}

/// What all groups of a distributor have in common.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    /// Bytes a second that a movie is sent with, and played, where nobody knows better.
    pub(crate) rate: u32,
    /// How long members are waited for, unless the leader begins.
    pub(crate) wait: Micros,
    /// Milliseconds between two packets: where nobody says, the least, and the most.
    pub(crate) interval: [u32; 3],
}

/// The movie that was chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chosen {
    pub(crate) id: u32,
    pub(crate) name: StreamName,
    /// Bytes a second that it is played with, where somebody knows it.
    pub(crate) rate: Option<u32>,
}

/// Who takes part.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) is_ready: bool,
    pub(crate) received: Received,
    /// Datagrams of the movie that were sent to it.
    pub(crate) sent: u64,
    pub(crate) interval: u32,
    heard: Micros,
    /// Over HTTP: what it was given.
    key: Option<Key>,
}

/// What the others are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Presence { member: u32, event: Event },
    Ready { member: u32 },
    Choice { movie: u32 },
    Play,
    Pause,
    Resume,
    End,
}

/// Why something is not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Denied {
    #[error("the group is full: it has {GROUP_MEMBERS_MAX} members")]
    Full,
    #[error("only the leader may do that")]
    NotLeader,
    #[error("the group has no such member")]
    NoMember,
    #[error("that cannot be done now: the group is {0:?}")]
    Phase(Phase),
    #[error("no movie was chosen, or none has that number")]
    NoMovie,
    #[error("that is not for a member to say")]
    NoSense,
}

/// Who asks: a member, or whoever has the leader's token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    Member(u32),
    Leader,
}

impl Group {
    pub(crate) fn new(terms: Terms, now: Micros) -> Self {
        Self {
            terms,
            members: BTreeMap::new(),
            next: 1,
            leader: None,
            movie: None,
            phase: Phase::Gathering,
            since: now,
            position: 0,
            rate: terms.rate,
            begins: now + terms.wait,
            empty: Some(now),
            changes: VecDeque::new(),
            version: 0,
            key: Key::new(),
        }
    }

    /// Take somebody in.
    pub(crate) fn join(&mut self, now: Micros, interval: u32, leads: bool) -> Result<u32, Denied> {
        if self.members.len() >= GROUP_MEMBERS_MAX {
            return Err(Denied::Full);
        }
        let (id, received) = (self.next, Received::default());
        self.next += 1;
        let member = Member { is_ready: false, received, sent: 0, interval, heard: now, key: None };
        self.members.insert(id, member);
        if leads {
            self.leader = Some(id);
        }
        self.empty = None;
        self.note(Change::Presence { member: id, event: Event::Joined });
        Ok(id)
    }

    /// Take somebody in who takes part over HTTP, and give him his key.
    pub(crate) fn join_with_key(
        &mut self,
        now: Micros,
        leads: bool,
    ) -> Result<(u32, String), Denied> {
        let (id, key) = (self.join(now, 0, leads)?, Key::new());
        let text = key.to_string();
        if let Some(member) = self.members.get_mut(&id) {
            member.key = Some(key);
        }
        Ok((id, text))
    }

    /// The key of whoever leads it.
    pub(crate) fn leader_key(&self) -> String {
        self.key.to_string()
    }

    /// Whose key that is.
    pub(crate) fn by(&self, key: &Key) -> Option<By> {
        if self.key.is(key) {
            return Some(By::Leader);
        }
        let has =
            |(_, member): &(&u32, &Member)| member.key.as_ref().is_some_and(|own| own.is(key));
        self.members.iter().find(has).map(|(id, _)| By::Member(*id))
    }

    /// Somebody says that he leaves.
    pub(crate) fn leave(&mut self, now: Micros, member: u32) {
        self.remove(now, member, Event::Left);
    }

    fn remove(&mut self, now: Micros, member: u32, event: Event) {
        if self.members.remove(&member).is_none() {
            return;
        }
        if self.leader == Some(member) {
            self.leader = None;
        }
        self.empty = self.members.is_empty().then_some(now);
        self.note(Change::Presence { member, event });
    }

    /// A sign of life.
    pub(crate) fn heard(&mut self, now: Micros, member: u32) {
        if let Some(member) = self.members.get_mut(&member) {
            member.heard = member.heard.max(now);
        }
    }

    /// What a member has counted.
    pub(crate) fn report(&mut self, member: u32, received: Received) -> Option<Received> {
        let member = self.members.get_mut(&member)?;
        Some(std::mem::replace(&mut member.received, received))
    }

    /// A datagram of the movie was sent to that member.
    pub(crate) fn sent(&mut self, member: u32) {
        if let Some(member) = self.members.get_mut(&member) {
            member.sent += 1;
        }
    }

    /// How often a member wants a packet, in milliseconds; 0: as we like.
    pub(crate) fn set_interval(&mut self, member: u32, interval: u32) {
        if let Some(member) = self.members.get_mut(&member) {
            member.interval = interval;
        }
    }

    pub(crate) fn ready(&mut self, id: u32) -> Result<(), Denied> {
        let member = self.members.get_mut(&id).ok_or(Denied::NoMember)?;
        if !std::mem::replace(&mut member.is_ready, true) {
            self.note(Change::Ready { member: id });
        }
        Ok(())
    }

    pub(crate) fn choose(&mut self, by: By, movie: Chosen) -> Result<(), Denied> {
        self.admit(by)?;
        if self.phase != Phase::Gathering {
            return Err(Denied::Phase(self.phase));
        }
        let id = movie.id;
        self.rate = movie.rate.map_or(self.terms.rate, |rate| rate.clamp(1, GROUP_RATE_MAX));
        self.movie = Some(movie);
        self.note(Change::Choice { movie: id });
        Ok(())
    }

    pub(crate) fn start(&mut self, now: Micros, by: By) -> Result<(), Denied> {
        self.admit(by)?;
        match (self.phase, &self.movie) {
            (Phase::Gathering, Some(_)) => {
                self.begin(now);
                Ok(())
            }
            (Phase::Gathering, None) => Err(Denied::NoMovie),
            (phase, _) => Err(Denied::Phase(phase)),
        }
    }

    fn begin(&mut self, now: Micros) {
        self.phase = Phase::Playing;
        self.since = now + GROUP_LEAD;
        self.note(Change::Play);
    }

    /// Start, or go on.
    pub(crate) fn play(&mut self, now: Micros, by: By) -> Result<(), Denied> {
        if self.phase == Phase::Paused { self.resume(now, by) } else { self.start(now, by) }
    }

    pub(crate) fn pause(&mut self, now: Micros, by: By) -> Result<(), Denied> {
        self.admit(by)?;
        if self.phase != Phase::Playing {
            return Err(Denied::Phase(self.phase));
        }
        self.position = self.position_at(now);
        (self.phase, self.since) = (Phase::Paused, now);
        self.note(Change::Pause);
        Ok(())
    }

    pub(crate) fn resume(&mut self, now: Micros, by: By) -> Result<(), Denied> {
        self.admit(by)?;
        if self.phase != Phase::Paused {
            return Err(Denied::Phase(self.phase));
        }
        (self.phase, self.since) = (Phase::Playing, now + GROUP_LEAD);
        self.note(Change::Resume);
        Ok(())
    }

    /// All of the movie was sent; it is `length` long.
    pub(crate) fn end(&mut self) {
        if self.phase == Phase::Playing {
            self.phase = Phase::Ended;
            self.note(Change::End);
        }
    }

    fn admit(&self, by: By) -> Result<(), Denied> {
        match by {
            By::Leader => Ok(()),
            By::Member(member) if self.leader == Some(member) => Ok(()),
            By::Member(_) => Err(Denied::NotLeader),
        }
    }

    /// What time alone does: who is silent is lost, and what waits for nobody begins.
    pub(crate) fn tick(&mut self, now: Micros) {
        let is_silent = |member: &Member| now >= member.heard + GROUP_SILENCE_MAX;
        let silent = self.members.iter().filter(|(_, member)| is_silent(member));
        for id in silent.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.remove(now, id, Event::Lost);
        }
        if self.phase == Phase::Gathering && self.movie.is_some() && now >= self.begins {
            self.begin(now);
        }
    }

    /// Is nobody here, and has not been for long?
    pub(crate) fn is_deserted(&self, now: Micros) -> bool {
        self.empty.is_some_and(|since| now >= since + GROUP_EMPTY)
    }

    /// The byte that is played at that time.
    pub(crate) fn position_at(&self, now: Micros) -> u64 {
        match self.phase {
            Phase::Playing | Phase::Ended => {
                self.position + bytes_in(now.saturating_sub(self.since), self.rate)
            }
            Phase::Gathering | Phase::Paused => self.position,
        }
    }

    /// The byte up to which the movie should be with the members at that time.
    pub(crate) fn due(&self, now: Micros) -> u64 {
        match self.phase {
            Phase::Playing => self.position_at(now + GROUP_LEAD),
            Phase::Gathering | Phase::Paused | Phase::Ended => 0,
        }
    }

    /// Milliseconds between two packets: the largest that anybody wants.
    pub(crate) fn interval(&self) -> u32 {
        let [default, least, most] = self.terms.interval;
        let wanted = self.members.values().map(|member| member.interval).max().unwrap_or(0);
        (if wanted == 0 { default } else { wanted }).clamp(least, most.max(least))
    }

    fn note(&mut self, change: Change) {
        if self.changes.len() >= GROUP_CHANGES_MAX {
            self.changes.pop_front();
        }
        self.changes.push_back(change);
        self.version += 1;
    }

    /// What has changed since that version, as far as it is known, and the version now.
    pub(crate) fn changes_since(&self, seen: u64) -> (u64, Vec<Change>) {
        let new = usize::try_from(self.version - seen.min(self.version)).unwrap_or(usize::MAX);
        let skipped = self.changes.len().saturating_sub(new);
        (self.version, self.changes.iter().skip(skipped).copied().collect())
    }

    pub(crate) fn members(&self) -> impl Iterator<Item = (u32, &Member)> {
        self.members.iter().map(|(id, member)| (*id, member))
    }

    pub(crate) fn has(&self, member: u32) -> bool {
        self.members.contains_key(&member)
    }

    pub(crate) fn leader(&self) -> Option<u32> {
        self.leader
    }

    pub(crate) fn movie(&self) -> Option<&Chosen> {
        self.movie.as_ref()
    }

    pub(crate) fn phase(&self) -> Phase {
        self.phase
    }

    /// When which byte was played, or will be.
    pub(crate) fn place(&self) -> (Micros, u64) {
        (self.since, self.position)
    }

    pub(crate) fn rate(&self) -> u32 {
        self.rate
    }
}

/// Bytes that are played in that time.
fn bytes_in(time: Micros, rate: u32) -> u64 {
    u64::try_from(u128::from(time) * u128::from(rate) / 1_000_000).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Micros = 1_000_000;
    const TERMS: Terms = Terms { rate: 1000, wait: 30 * SECOND, interval: [20, 5, 100] };

    fn movie() -> Chosen {
        Chosen { id: 7, name: "films/a".parse().unwrap(), rate: None }
    }

    /// A group with a leader and a member.
    fn group() -> (Group, By, By) {
        let mut group = Group::new(TERMS, 0);
        let leader = By::Member(group.join(0, 0, true).unwrap());
        let member = By::Member(group.join(0, 50, false).unwrap());
        (group, leader, member)
    }

    #[test]
    fn only_the_leader_chooses_starts_and_pauses() {
        let (mut group, leader, member) = group();
        assert_eq!(group.start(0, leader), Err(Denied::NoMovie));
        assert_eq!(group.choose(member, movie()), Err(Denied::NotLeader));
        assert_eq!(group.choose(leader, movie()), Ok(()));
        assert_eq!(group.start(0, member), Err(Denied::NotLeader));
        assert_eq!(group.start(SECOND, leader), Ok(()));
        assert_eq!(group.start(SECOND, leader), Err(Denied::Phase(Phase::Playing)));
        assert_eq!(group.pause(SECOND, member), Err(Denied::NotLeader));
        assert_eq!(group.choose(leader, movie()), Err(Denied::Phase(Phase::Playing)));
        assert_eq!(group.resume(SECOND, By::Leader), Err(Denied::Phase(Phase::Playing)));
    }

    #[test]
    fn a_pause_takes_no_byte_away() {
        let (mut group, leader, _) = group();
        group.choose(leader, movie()).unwrap();
        group.start(0, leader).unwrap();
        let (since, _) = group.place();
        assert_eq!((group.position_at(since), group.position_at(since + 2 * SECOND)), (0, 2000));

        group.pause(since + 2 * SECOND, leader).unwrap();
        assert_eq!(group.position_at(since + 9 * SECOND), 2000);
        group.resume(since + 9 * SECOND, leader).unwrap();

        let (since, position) = group.place();
        assert_eq!((position, group.position_at(since + SECOND)), (2000, 3000));
    }

    #[test]
    fn a_movie_is_played_as_fast_as_it_says_within_bounds() {
        let (mut group, leader, _) = group();
        for (rate, played) in
            [(None, 1000), (Some(5000), 5000), (Some(0), 1), (Some(u32::MAX), GROUP_RATE_MAX)]
        {
            group.choose(leader, Chosen { rate, ..movie() }).unwrap();
            assert_eq!(group.rate(), played);
        }
    }

    #[test]
    fn it_begins_by_itself_after_the_registration_time() {
        let (mut group, leader, _) = group();
        let heard = |group: &mut Group, now| [1, 2].map(|member| group.heard(now, member));
        heard(&mut group, 30 * SECOND);
        group.tick(30 * SECOND);
        assert_eq!(group.phase(), Phase::Gathering, "nothing was chosen");
        group.choose(leader, movie()).unwrap();
        group.tick(30 * SECOND);
        assert_eq!(group.phase(), Phase::Playing);
    }

    #[test]
    fn who_is_silent_is_lost_and_the_others_are_told() {
        let (mut group, ..) = group();
        let (seen, _) = group.changes_since(0);
        group.heard(5 * SECOND, 1);
        group.tick(GROUP_SILENCE_MAX - 1);
        assert_eq!(group.changes_since(seen).1, []);
        group.tick(GROUP_SILENCE_MAX);
        let lost = Change::Presence { member: 2, event: Event::Lost };
        assert_eq!(group.changes_since(seen).1, [lost]);
        assert!(!group.has(2) && group.has(1));
    }

    #[test]
    fn the_largest_interval_wins_within_its_bounds() {
        let (mut group, ..) = group();
        assert_eq!(group.interval(), 50);
        group.join(0, 5000, false).unwrap();
        assert_eq!(group.interval(), 100);
        assert_eq!(Group::new(TERMS, 0).interval(), 20);
    }

    #[test]
    fn a_group_has_a_bounded_number_of_members_and_none_for_ever() {
        let mut group = Group::new(TERMS, 0);
        for _ in 0..GROUP_MEMBERS_MAX {
            group.join(0, 0, false).unwrap();
        }
        assert_eq!(group.join(0, 0, false), Err(Denied::Full));
        group.tick(10 * SECOND);
        assert!(group.members().next().is_none() && !group.is_deserted(10 * SECOND));
        assert!(group.is_deserted(10 * SECOND + GROUP_EMPTY));
    }

    proptest! {
        #[test]
        fn the_position_never_goes_back_whatever_is_done(
            steps in prop::collection::vec((0_u8..5, 0_u64..20_000_000), 1..60),
        ) {
            let (mut group, leader, _) = group();
            group.choose(leader, movie()).unwrap();
            let (mut now, mut last) = (0, 0);
            for (what, time) in steps {
                now += time;
                // Refused or not: that is not what this is about.
                let _ = match what {
                    0 => group.start(now, leader),
                    1 => group.pause(now, leader),
                    2 => group.resume(now, leader),
                    _ => Ok(()),
                };
                prop_assert!(group.position_at(now) >= last);
                last = group.position_at(now);
                prop_assert!(group.changes.len() <= GROUP_CHANGES_MAX);
                group.heard(now, 1);
            }
        }
    }
}
