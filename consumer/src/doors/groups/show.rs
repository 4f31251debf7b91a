//! A group's movie as it is played: its bytes in order, when the group plays them.

use std::{collections::BTreeMap, io};

use bytes::Bytes;
use freshet_protocol::doors::groups::{Phase, State};
use tokio::time::{Instant, Interval, interval};

use super::{
    film::{FilmError, GroupFilm},
    head::GroupHead,
    member::{GroupMember, GroupNews},
};
use crate::{
    doors::{DoorError, DoorUrl},
    fetch::Fetch,
    limits::GROUP_LOOK,
    token::Token,
    url::UrlError,
};

/// Somebody who looks on: he neither leads nor chooses.
#[derive(Debug)]
pub struct GroupShow {
    member: GroupMember,
    /// The distributor over HTTP.
    http: String,
    token: Option<Token>,
    movies: BTreeMap<u32, String>,
    state: Option<State>,
    film: Option<GroupFilm>,
    head: GroupHead,
    length: Option<u64>,
    looks: Interval,
}

/// Why a group's movie is not shown, or not on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ShowError {
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
    /// The file that the movie is in meanwhile.
    #[error("no room for the movie")]
    File(#[from] io::Error),
}

impl GroupShow {
    /// Join the group at that port; `http` is the distributor, for what is lost on the way.
    ///
    /// # Errors
    ///
    /// Nobody answers there.
    pub async fn join(url: &DoorUrl, http: &str, token: Option<Token>) -> Result<Self, DoorError> {
        let member = GroupMember::join(url, 0).await?;
        Ok(Self {
            member,
            http: http.trim_end_matches('/').to_owned(),
            token,
            movies: BTreeMap::new(),
            state: None,
            film: None,
            head: GroupHead::default(),
            length: None,
            looks: interval(GROUP_LOOK),
        })
    }

    /// The next bytes, when they are played; `None` at the end. Cancel safe.
    ///
    /// # Errors
    ///
    /// The group is gone, or what was lost cannot be had.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ShowError> {
        loop {
            if self.is_over() {
                self.member.leave();
                return Ok(None);
            }
            // In any order: a movie that comes fast does not keep us from playing it.
            tokio::select! {
                news = self.member.next() => match news? {
                    Some(news) => self.hear(news)?,
                    None => return Err(ShowError::Gone),
                },
                repaired = repair(&mut self.film) => repaired?,
                _ = self.looks.tick() => {
                    let bytes = self.look()?;
                    if !bytes.is_empty() {
                        return Ok(Some(bytes.into()));
                    }
                }
            }
        }
    }

    fn is_over(&self) -> bool {
        let is_played = |film: &GroupFilm| film.is_whole() && self.head.at() >= film.bytes().0;
        self.length.is_some() && self.film.as_ref().is_some_and(is_played)
    }

    fn hear(&mut self, news: GroupNews) -> Result<(), ShowError> {
        match news {
            GroupNews::Movies(movies) => {
                self.movies.extend(movies.into_iter().map(|movie| (movie.id, movie.name)));
            }
            GroupNews::State(state) => self.state = Some(state),
            GroupNews::Data { seq, offset, bytes } => {
                self.open()?;
                if let Some(film) = &mut self.film {
                    let is_of_use = film.place(offset, &bytes)?;
                    self.member.note(seq, is_of_use);
                }
            }
            GroupNews::End { length } => {
                self.length = Some(length);
                self.open()?;
                if let Some(film) = &mut self.film {
                    film.end(length)?;
                }
            }
            GroupNews::Presence { .. } => {}
        }
        Ok(())
    }

    /// The movie, as soon as it is known which.
    fn open(&mut self) -> Result<(), ShowError> {
        let Some(state) = self.state.filter(|state| state.phase != Phase::Gathering) else {
            return Ok(());
        };
        let Some(name) = self.movies.get(&state.movie).filter(|_| self.film.is_none()) else {
            return Ok(());
        };
        let mut fetch = Fetch::new(format!("{}/live/{name}", self.http).parse()?);
        fetch.token.clone_from(&self.token);
        let mut film = GroupFilm::new(fetch, tempfile::tempfile()?);
        if let Some(length) = self.length {
            film.end(length)?;
        }
        self.film = Some(film);
        Ok(())
    }

    /// What is due.
    fn look(&mut self) -> Result<Vec<u8>, ShowError> {
        self.open()?;
        let Some(state) = self.state else { return Ok(Vec::new()) };
        let position = self.member.position(&state);
        let (Some(group), Some(film)) = (position, &mut self.film) else { return Ok(Vec::new()) };
        if state.phase != Phase::Ended {
            film.expect(group);
        }
        if !matches!(state.phase, Phase::Playing | Phase::Ended) {
            return Ok(Vec::new());
        }
        let now = Instant::now();
        if !self.head.has_begun() && self.member.when(state.since).is_some_and(|at| at <= now) {
            self.head.begin(&state, group);
        }
        Ok(self.head.play(film, group, state.rate)?)
    }
}

async fn repair(film: &mut Option<GroupFilm>) -> Result<(), FilmError> {
    match film {
        Some(film) => film.repair().await,
        None => std::future::pending().await,
    }
}
