//! The players that are looked at, and how each of them is told to show a live stream.

use std::{
    collections::BTreeMap,
    os::unix::fs::chown,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, bail};

use crate::role::Role;

/// `nobody`: the user that root becomes for a player that refuses root.
const NOBODY: u32 = 65_534;

/// One way to show a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Player {
    pub(super) name: &'static str,
    program: Program,
    arguments: &'static [&'static str],
    /// What the page of a stream is called, not its bytes.
    is_page: bool,
}

/// Our own player, which is in this program, or one that a package of Debian's has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Program {
    Own,
    Packaged(Packaged),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Packaged {
    name: &'static str,
    package: &'static str,
    /// The argument that makes it say its version.
    version: &'static str,
    refuses_root: bool,
}

const MPV: Program = Program::Packaged(Packaged {
    name: "mpv",
    package: "mpv",
    version: "--version",
    refuses_root: false,
});
const FFPLAY: Program = Program::Packaged(Packaged {
    name: "ffplay",
    package: "ffmpeg",
    version: "-version",
    refuses_root: false,
});
const VLC: Program = Program::Packaged(Packaged {
    name: "cvlc",
    package: "vlc",
    version: "--version",
    refuses_root: true,
});
const CHROMIUM: Program = Program::Packaged(Packaged {
    name: "chromium",
    package: "chromium",
    version: "--version",
    refuses_root: false,
});

/// Our own without a screen.
const HEADLESS: &str = "player-headless";

/// Our own, the page, and the players that people have: as they come, and with what makes them show a byte
/// soonest.
const PLAYERS: [Player; 9] = [
    Player {
        name: HEADLESS,
        program: Program::Own,
        arguments: &["role", "player", "--stats", "HOME/stats"],
        is_page: false,
    },
    Player {
        name: "player",
        program: Program::Own,
        arguments: &["role", "player"],
        is_page: false,
    },
    Player {
        name: "page",
        program: CHROMIUM,
        arguments: &[
            "--no-sandbox",
            "--no-first-run",
            "--kiosk",
            "--window-position=0,0",
            "--window-size=1280,720",
            "--disable-gpu",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--autoplay-policy=no-user-gesture-required",
            "--user-data-dir=HOME/profile",
        ],
        is_page: true,
    },
    Player {
        name: "mpv",
        program: MPV,
        arguments: &["--no-config", "--vo=x11", "--really-quiet"],
        is_page: false,
    },
    Player {
        name: "mpv-quick",
        program: MPV,
        arguments: &[
            "--no-config",
            "--vo=x11",
            "--really-quiet",
            "--profile=low-latency",
            "--untimed",
            "--cache=no",
        ],
        is_page: false,
    },
    Player {
        name: "ffplay",
        program: FFPLAY,
        arguments: &["-loglevel", "error", "-i"],
        is_page: false,
    },
    Player {
        name: "ffplay-quick",
        program: FFPLAY,
        arguments: &[
            "-loglevel",
            "error",
            "-fflags",
            "nobuffer",
            "-flags",
            "low_delay",
            "-sync",
            "ext",
            "-framedrop",
            "-i",
        ],
        is_page: false,
    },
    Player {
        name: "vlc",
        program: VLC,
        arguments: &["--no-video-title-show", "--no-osd"],
        is_page: false,
    },
    Player {
        name: "vlc-quick",
        program: VLC,
        arguments: &[
            "--no-video-title-show",
            "--no-osd",
            "--file-caching=0",
            "--network-caching=0",
            "--live-caching=0",
            "--clock-jitter=0",
            "--clock-synchro=0",
        ],
        is_page: false,
    },
];

/// The players of these names, or all; and those of all that are not installed.
pub(super) fn chosen(names: &[String]) -> anyhow::Result<(Vec<Player>, Vec<String>)> {
    let known = || PLAYERS.map(|player| player.name).join(", ");
    let named = |name: &String| {
        let found = PLAYERS.into_iter().find(|player| player.name == name);
        let player = found.with_context(|| format!("no player {name}; there are {}", known()))?;
        player.find().map_err(anyhow::Error::msg)?;
        Ok(player)
    };
    if !names.is_empty() {
        return Ok((names.iter().map(named).collect::<anyhow::Result<_>>()?, Vec::new()));
    }
    let (mut there, mut absent) = (Vec::new(), Vec::new());
    for player in PLAYERS {
        match player.find() {
            Ok(_) => there.push(player),
            Err(what) => absent.push(format!("{}: {what}", player.name)),
        }
    }
    if there.is_empty() {
        bail!("no player is installed:\n{}", absent.join("\n"));
    }
    Ok((there, absent))
}

/// What each of them says of its version.
pub(super) fn versions(players: &[Player]) -> BTreeMap<String, String> {
    let told = |player: &Player| {
        let Program::Packaged(Packaged { name, version, .. }) = player.program else {
            return Some((player.name.to_owned(), env!("CARGO_PKG_VERSION").to_owned()));
        };
        let said = Command::new(name).arg(version).output().ok()?;
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        Some((player.name.to_owned(), said.lines().next()?.to_owned()))
    };
    players.iter().filter_map(told).collect()
}

impl Player {
    /// Where its program is, or what has to be installed.
    fn find(&self) -> Result<PathBuf, String> {
        let Program::Packaged(Packaged { name, package, .. }) = self.program else {
            return std::env::current_exe()
                .map_err(|error| format!("where is this program? {error}"));
        };
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut places = std::env::split_paths(&path).map(|folder| folder.join(name));
        let found = places.find(|place| place.is_file());
        found.ok_or_else(|| format!("{name} is not installed (package {package})"))
    }

    /// Is there nothing of it on a screen?
    pub(super) fn is_headless(&self) -> bool {
        self.name == HEADLESS
    }

    /// Start it on `display`; what it keeps goes into `folder`.
    pub(super) fn start(&self, display: &str, url: &str, folder: &Path) -> anyhow::Result<Role> {
        let program = self.find().map_err(anyhow::Error::msg)?;
        let text = |path: &Path| path.to_str().map(str::to_owned).context("a path is no text");
        let (program, home, log) = (text(&program)?, text(folder)?, text(&folder.join("log"))?);
        let refuses_root = matches!(self.program, Program::Packaged(it) if it.refuses_root);
        let steps_down = refuses_root && rustix::process::geteuid().is_root();
        if steps_down {
            chown(folder, Some(NOBODY), Some(NOBODY)).context("cannot give its folder away")?;
        }
        let words = self.words(&program, display, url, &home, steps_down);
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        Role::guard(self.name, &log, &words, 0)
    }

    fn words(
        &self,
        program: &str,
        display: &str,
        url: &str,
        home: &str,
        steps_down: bool,
    ) -> Vec<String> {
        let user = NOBODY.to_string();
        let drop = ["setpriv", "--reuid", &user, "--regid", &user, "--clear-groups", "--"];
        let (display, own_home) = (format!("DISPLAY={display}"), format!("HOME={home}"));
        let url = if self.is_page { url.replace("/live/", "/watch/") } else { url.to_owned() };
        let arguments = self.arguments.iter().map(|word| word.replace("HOME", home));
        drop.into_iter()
            .filter(|_| steps_down)
            .chain(["env", &display, &own_home, program])
            .map(str::to_owned)
            .chain(arguments)
            .chain([url])
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_refuses_root_is_started_as_somebody_else_and_a_page_has_its_own_address() {
        let words = |name: &str, steps_down| {
            let player = PLAYERS.into_iter().find(|player| player.name == name).unwrap();
            player.words("/bin/x", ":7", "http://h:1/live/a", "/home", steps_down).join(" ")
        };
        assert!(words("vlc", true).starts_with("setpriv --reuid 65534"));
        assert!(words("vlc", false).starts_with("env DISPLAY=:7 HOME=/home /bin/x "));
        assert!(words("vlc", false).ends_with(" http://h:1/live/a"));
        assert!(words("page", false).ends_with("--user-data-dir=/home/profile http://h:1/watch/a"));
    }

    #[test]
    fn an_unknown_name_is_told_the_known_ones() {
        let told = chosen(&["vcl".into()]).unwrap_err().to_string();
        assert!(told.contains("vcl") && told.contains("mpv-quick"), "{told}");
    }
}
