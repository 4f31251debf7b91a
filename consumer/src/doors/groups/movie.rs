//! A member and the group's movie: what is told, where the movie's bytes go, and what of it is played now.
//!
//! ```text
//!   member ──news──▶ which movie, where it is ──▶ film: datagrams, and over HTTP what was lost
//!   time   ──▶ it begins; what is due ◀── head ◀──┘
//! ```

use std::{collections::BTreeMap, fmt, fs::File, io};

use freshet_protocol::doors::groups::{Phase, State};
use tokio::time::{Instant, Interval, interval, sleep_until};

use super::{
    film::{FilmError, GroupFilm},
    head::GroupHead,
    member::{GroupMember, GroupNews},
};
use crate::{
    doors::DoorError,
    fetch::Fetch,
    limits::GROUP_LOOK,
    token::Token,
    url::{StreamUrl, UrlError},
};

/// Makes the empty file for the movie at that address, which can be read and written.
type Create = Box<dyn FnMut(&StreamUrl) -> io::Result<File> + Send>;

/// A member, and the movie that it puts together.
pub struct GroupMovie {
    member: GroupMember,
    /// The distributor over HTTP.
    http: String,
    token: Option<Token>,
    create: Create,
    movies: BTreeMap<u32, String>,
    state: Option<State>,
    film: Option<(StreamUrl, GroupFilm)>,
    /// When the movie begins, or goes on, here.
    begins: Option<Instant>,
    head: GroupHead,
    /// Where the movie ends, once that was told.
    length: Option<u64>,
    looks: Interval,
}

/// What there is to take note of.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GroupMoment {
    /// The group has said this, and it is taken into account. Pieces of the movie are not told.
    Told(GroupNews),
    /// It begins, or goes on, now.
    Begins,
    /// Some time has passed: something may be due.
    Passed,
    /// The group is gone.
    Gone,
}

/// Why a group's movie is not shown, or not on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MovieError {
    /// The group.
    #[error(transparent)]
    Door(#[from] DoorError),
    /// The group is gone before the movie was.
    #[error("the group is gone")]
    Gone,
    /// The movie.
    #[error(transparent)]
    Film(#[from] FilmError),
    /// The distributor's address with the movie's name.
    #[error("that is no movie's address")]
    Address(#[from] UrlError),
    /// The file for it.
    #[error("no room for the movie")]
    File(#[from] io::Error),
}

impl GroupMovie {
    /// The movie of that member's group; `http` is the distributor, for what is lost on the way.
    pub fn new(
        member: GroupMember,
        http: &str,
        token: Option<Token>,
        create: impl FnMut(&StreamUrl) -> io::Result<File> + Send + 'static,
    ) -> Self {
        Self {
            member,
            http: http.trim_end_matches('/').to_owned(),
            token,
            create: Box::new(create),
            movies: BTreeMap::new(),
            state: None,
            film: None,
            begins: None,
            head: GroupHead::default(),
            length: None,
            looks: interval(GROUP_LOOK),
        }
    }

    /// The member, to lead or to leave.
    pub const fn member(&mut self) -> &mut GroupMember {
        &mut self.member
    }

    /// Where the group is, as it was told last.
    #[must_use]
    pub const fn state(&self) -> Option<State> {
        self.state
    }

    /// What there is to choose from, by number.
    #[must_use]
    pub const fn movies(&self) -> &BTreeMap<u32, String> {
        &self.movies
    }

    /// The next byte that is played here.
    #[must_use]
    pub const fn at(&self) -> u64 {
        self.head.at()
    }

    /// The movie's address, its length, and how much of it came over HTTP, once all of it is here.
    #[must_use]
    pub fn whole(&self) -> Option<(&StreamUrl, u64, u64)> {
        let (url, film) = self.film.as_ref()?;
        let (bytes, fetched) = film.bytes();
        (self.length.is_some() && film.is_whole()).then_some((url, bytes, fetched))
    }

    /// What happens next. Cancel safe.
    ///
    /// # Errors
    ///
    /// The socket or the file fails, or what was lost cannot be had.
    pub async fn next(&mut self) -> Result<GroupMoment, MovieError> {
        loop {
            // In any order: a movie that comes fast does not keep us from what is due.
            tokio::select! {
                () = until(self.begins) => {
                    self.begin();
                    return Ok(GroupMoment::Begins);
                }
                news = self.member.next() => {
                    let Some(news) = news? else { return Ok(GroupMoment::Gone) };
                    if let Some(news) = self.hear(news)? {
                        return Ok(GroupMoment::Told(news));
                    }
                }
                repaired = repair(&mut self.film) => repaired?,
                _ = self.looks.tick() => {
                    self.look()?;
                    return Ok(GroupMoment::Passed);
                }
            }
        }
    }

    /// What is due of the movie since the last time; nothing where it is not played.
    ///
    /// # Errors
    ///
    /// The movie's file cannot be read.
    pub fn play(&mut self) -> io::Result<Vec<u8>> {
        let Some(state) = self.state.filter(is_played) else { return Ok(Vec::new()) };
        let (Some(group), Some((_, film))) = (self.member.position(&state), &self.film) else {
            return Ok(Vec::new());
        };
        self.head.play(film, group, state.rate)
    }

    /// Take it into account; `None`: a piece of the movie.
    fn hear(&mut self, news: GroupNews) -> Result<Option<GroupNews>, MovieError> {
        match &news {
            GroupNews::Movies(movies) => {
                let named = movies.iter().map(|movie| (movie.id, movie.name.clone()));
                self.movies.extend(named);
            }
            GroupNews::State(state) => self.follow(*state),
            GroupNews::Data { seq, offset, bytes } => {
                self.open()?;
                if let Some((_, film)) = &mut self.film {
                    let is_of_use = film.place(*offset, bytes)?;
                    self.member.note(*seq, is_of_use);
                }
                return Ok(None);
            }
            GroupNews::End { length } => {
                self.length = Some(*length);
                if let Some((_, film)) = &mut self.film {
                    film.end(*length)?;
                }
            }
            GroupNews::Presence { .. } => {}
        }
        self.open()?;
        Ok(Some(news))
    }

    fn follow(&mut self, state: State) {
        let was = self.state.replace(state).map_or(Phase::Gathering, |state| state.phase);
        match state.phase {
            Phase::Paused => self.begins = None,
            Phase::Playing if was == Phase::Paused => self.begins = self.member.when(state.since),
            _ if is_played(&state) && !self.head.has_begun() => {
                self.begins = self.member.when(state.since);
            }
            _ => {}
        }
    }

    /// The moment has come.
    fn begin(&mut self) {
        self.begins = None;
        let Some(state) = self.state.filter(is_played) else { return };
        let group = self.member.position(&state).unwrap_or(state.position);
        self.head.begin(&state, group);
    }

    /// The movie's file, as soon as it is known which movie.
    fn open(&mut self) -> Result<(), MovieError> {
        let is_on = self.state.filter(|state| state.movie != 0 && state.phase != Phase::Gathering);
        let (Some(state), None) = (is_on, &self.film) else { return Ok(()) };
        let Some(name) = self.movies.get(&state.movie) else { return Ok(()) };
        let url: StreamUrl = format!("{}/live/{name}", self.http).parse()?;
        let mut fetch = Fetch::new(url.clone());
        fetch.token.clone_from(&self.token);
        let mut film = GroupFilm::new(fetch, (self.create)(&url)?);
        if let Some(length) = self.length {
            film.end(length)?;
        }
        self.film = Some((url, film));
        Ok(())
    }

    /// Now and then: what should be here by now, and when it begins by what is known of the clock now.
    fn look(&mut self) -> Result<(), MovieError> {
        self.open()?;
        let Some(state) = self.state else { return Ok(()) };
        if let (Some(group), Some((_, film))) = (self.member.position(&state), &mut self.film)
            && state.phase != Phase::Ended
        {
            film.expect(group);
        }
        let is_ahead = self.begins.is_some() || !self.head.has_begun();
        if is_played(&state) && is_ahead {
            self.begins = self.member.when(state.since);
        }
        Ok(())
    }
}

impl fmt::Debug for GroupMovie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GroupMovie").field("state", &self.state).finish_non_exhaustive()
    }
}

/// A short movie may have ended before it was begun with here.
fn is_played(state: &State) -> bool {
    matches!(state.phase, Phase::Playing | Phase::Ended)
}

async fn until(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

async fn repair(film: &mut Option<(StreamUrl, GroupFilm)>) -> Result<(), FilmError> {
    match film {
        Some((_, film)) => film.repair().await,
        None => std::future::pending().await,
    }
}
