//! lines: commands on the control connection, the bytes of a song on a connection of their own.

use std::{net::IpAddr, sync::Arc};

use freshet_protocol::doors::lines::{BYE, Command, Refusal, STOPPED, list};
use tokio::net::TcpStream;

use super::{
    Door,
    conn::{End, Inlet, Lines, Outlet},
    data::Play,
};

/// One client.
pub(super) async fn session(socket: &Arc<TcpStream>, door: &Door) -> Result<(), End> {
    let (host, client) = (socket.local_addr()?.ip(), socket.peer_addr()?.ip());
    let lines = Lines::new(Inlet::new(socket, door));
    let outlet = Outlet::new(socket, door);
    let mut session = Session { door, lines, outlet, host, client, play: None };
    loop {
        match session.asked().await {
            Ok(Ok(Command::Quit)) => {
                session.stop().await;
                return session.say(BYE).await;
            }
            Ok(Ok(command)) => session.carry_out(command).await?,
            Ok(Err(refusal)) => session.refuse(refusal).await?,
            Err(end) => {
                session.play_out(&end).await;
                return Err(end);
            }
        }
    }
}

struct Session<'a> {
    door: &'a Door,
    lines: Lines,
    outlet: Outlet,
    /// Where the client has found us, and so where the data port is.
    host: IpAddr,
    client: IpAddr,
    play: Option<Play<'a>>,
}

impl Session<'_> {
    /// The next command; what plays goes on meanwhile.
    async fn asked(&mut self) -> Result<Result<Command, Refusal>, End> {
        loop {
            let Self { door, lines, play, .. } = self;
            lines.patience.is_playing = play.is_some();
            tokio::select! {
                biased;
                () = door.shutdown.cancelled() => return Err(End::Stopping),
                () = ended(play) => *play = None,
                line = lines.next(door) => return Ok(match line? {
                    Ok(line) => line.parse(),
                    Err(error) => Err(Refusal::Line { what: error.to_string() }),
                }),
            }
            self.lines.patience.renew();
        }
    }

    async fn say(&mut self, line: &str) -> Result<(), End> {
        Ok(self.outlet.say(line).await?)
    }

    async fn refuse(&mut self, refusal: Refusal) -> Result<(), End> {
        self.door.counts.errors.inc();
        self.say(&refusal.to_string()).await
    }

    async fn carry_out(&mut self, command: Command) -> Result<(), End> {
        match command {
            Command::List => {
                let list = list(&self.door.entries());
                self.say(&list).await
            }
            Command::Play(id) => self.begin(id).await,
            Command::Stop | Command::Quit => {
                self.stop().await;
                self.say(STOPPED).await
            }
        }
    }

    /// End what plays, open a port, and say which.
    async fn begin(&mut self, id: u64) -> Result<(), End> {
        let Some(stream) = self.door.find(id).await else {
            let given = id.to_string();
            return self.say(&Refusal::NoSong { given }.to_string()).await;
        };
        self.stop().await;
        let Some((listener, port)) = self.door.ports.open(self.host) else {
            return self.refuse(Refusal::NoPort).await;
        };
        let number = port.number();
        let song = self.door.play(&stream, self.outlet.peer());
        self.play = Some(Play::begin(self.door, (listener, port), self.client, song));
        self.say(&number.to_string()).await
    }

    async fn stop(&mut self) {
        if let Some(play) = self.play.take() {
            play.stop().await;
        }
    }

    /// A client that has said its last word still gets what it asked for; so does everybody, for a while,
    /// when the distributor stops. One that is cut does not.
    async fn play_out(&mut self, end: &End) {
        if let (End::Left | End::Stopping, Some(play)) = (end, &mut self.play) {
            play.ended().await;
        }
    }
}

/// Goes on with what plays; returns at its end, and never where nothing does. Cancel safe.
async fn ended(play: &mut Option<Play<'_>>) {
    match play {
        Some(play) => play.ended().await,
        None => std::future::pending().await,
    }
}
