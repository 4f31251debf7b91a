//! asp: text over TCP. A session is one command after the other; who watches is not asked meanwhile.

use std::sync::Arc;

use freshet_protocol::{
    doors::asp::{self, Command, Refusal},
    limits::ASP_CHUNK_BYTES,
};
use tokio::net::TcpStream;

use super::{
    Door, Pseudo,
    conn::{End, Inlet, Lines, Outlet},
    song::{Cut, Song},
};

/// One client, from its name to its leave.
pub(super) async fn session(socket: &Arc<TcpStream>, door: &Door) -> Result<(), End> {
    let lines = Lines::new(Inlet::new(socket, door));
    let mut session = Session { door, lines, outlet: Outlet::new(socket, door) };
    session.say(asp::WELCOME).await?;
    // Nobody else goes by that name meanwhile.
    let _pseudo = session.pseudo().await?;
    session.email().await?;
    loop {
        let asked = match session.line().await? {
            Some(line) => line.parse(),
            None => Err(Refusal::Unknown { word: String::new() }),
        };
        match asked {
            Ok(Command::Quit) => return session.say(asp::BYE).await,
            Ok(command) => session.carry_out(command).await?,
            Err(refusal) => session.refuse(refusal).await?,
        }
    }
}

struct Session<'a> {
    door: &'a Door,
    lines: Lines,
    outlet: Outlet,
}

impl Session<'_> {
    /// The next line; `None` for one that is too long, or no text.
    async fn line(&mut self) -> Result<Option<String>, End> {
        tokio::select! {
            biased;
            () = self.door.shutdown.cancelled() => Err(End::Stopping),
            line = self.lines.next(self.door) => Ok(line?.ok()),
        }
    }

    async fn say(&mut self, line: &str) -> Result<(), End> {
        Ok(self.outlet.say(line).await?)
    }

    async fn refuse(&mut self, refusal: Refusal) -> Result<(), End> {
        self.door.counts.errors.inc();
        self.say(&refusal.to_string()).await
    }

    async fn pseudo(&mut self) -> Result<Pseudo, End> {
        loop {
            let line = self.line().await?.unwrap_or_default();
            let free = || self.door.pseudos.take(line.trim());
            if let Some(pseudo) = asp::is_pseudo(&line).then(free).flatten() {
                self.say(asp::VALID_PSEUDO).await?;
                return Ok(pseudo);
            }
            self.invalid().await?;
        }
    }

    async fn email(&mut self) -> Result<(), End> {
        while !asp::is_email(self.line().await?.unwrap_or_default().trim()) {
            self.invalid().await?;
        }
        self.say(asp::VALID_EMAIL).await
    }

    async fn invalid(&mut self) -> Result<(), End> {
        self.door.counts.errors.inc();
        self.say(asp::INVALID_ENTRY).await
    }

    async fn carry_out(&mut self, command: Command) -> Result<(), End> {
        match command {
            Command::List => {
                let list = asp::list(&self.door.entries());
                self.say(&list).await
            }
            Command::Watch(id) => self.watch(id).await,
            Command::Delete(id) => self.delete(id).await,
            Command::Quit => Ok(()),
        }
    }

    async fn watch(&mut self, id: u64) -> Result<(), End> {
        let Some(stream) = self.door.find(id).await else {
            return self.say(&Refusal::NotFound.to_string()).await;
        };
        let song = self.door.play(&stream, self.outlet.peer());
        self.say(&asp::starting(stream.name().as_str())).await?;
        match self.send(song).await? {
            Ok(()) => {
                self.say(asp::END_OF_DOWNLOAD).await?;
                self.say(asp::COMPLETED).await?;
            }
            Err(cut) => {
                self.door.metrics.cuts.inc();
                self.refuse(Refusal::Server { what: cut.to_string() }).await?;
            }
        }
        self.lines.patience.renew();
        Ok(())
    }

    /// All lines of the video, or why it breaks off.
    async fn send(&mut self, mut song: Song) -> Result<Result<(), Cut>, End> {
        loop {
            let piece = tokio::select! {
                biased;
                // What has an end may come to it.
                () = self.door.shutdown.cancelled(), if !song.has_end() => Err(Cut::Stopping),
                piece = song.piece(ASP_CHUNK_BYTES) => piece,
                () = self.lines.inlet.gone() => return Err(End::Left),
            };
            let piece = match piece {
                Ok(piece) => piece,
                Err(cut) => return Ok(Err(cut)),
            };
            if !piece.is_empty() {
                self.outlet.write_all(asp::data_line(&piece)).await?;
            }
            if piece.len() < ASP_CHUNK_BYTES {
                return Ok(Ok(()));
            }
        }
    }

    async fn delete(&mut self, id: u64) -> Result<(), End> {
        if !self.door.deletes {
            return self.refuse(Refusal::NotAllowed).await;
        }
        let Some(stream) = self.door.find(id).await else {
            return self.say(&Refusal::NotFound.to_string()).await;
        };
        match self.door.hub.delete(stream.name()).await {
            Ok(true) => self.say(asp::DELETED).await,
            Ok(false) => self.refuse(Refusal::NotFound).await,
            Err(error) => self.refuse(Refusal::Server { what: error.to_string() }).await,
        }
    }
}
