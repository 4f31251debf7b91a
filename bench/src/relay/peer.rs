//! Programs of others, started with our own configuration: in a folder that is removed afterwards, on a
//! free port of 127.0.0.1, and as an ordinary user, for some of them refuse root.

use std::{
    ffi::OsString,
    fs,
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::fs::chown,
    path::{Path, PathBuf},
    thread,
};

use anyhow::{Context, bail};
use tempfile::TempDir;

use super::Running;
use crate::{
    clock::Moment,
    limits::{ROLE_ANSWER, SAMPLE_EVERY},
    role::Role,
    scenario::Scenario,
    target::Target,
};

/// `nobody`: the user that root becomes.
const NOBODY: u32 = 65_534;

/// What is different about each of them.
#[derive(Debug)]
pub(super) struct Peer {
    /// Its program.
    pub(super) program: &'static str,
    /// Where Debian's package has it beside the search path.
    pub(super) beside: &'static [&'static str],
    /// A file without which the program is of no use to us.
    pub(super) needs: Option<&'static str>,
    /// The package.
    pub(super) package: &'static str,
    /// Does it become an ordinary user by itself, where it was started by root?
    pub(super) steps_down: bool,
    /// Its configuration: the name of the file, and what is in it.
    pub(super) file: &'static str,
    pub(super) config: fn(&Place<'_>) -> String,
    /// Its arguments.
    pub(super) arguments: fn(&Place<'_>) -> Vec<String>,
    /// The URLs to publish to and to consume from.
    pub(super) urls: fn(&Place<'_>) -> (String, String),
}

/// Where one of them is to run, and for how many.
#[derive(Debug)]
pub(super) struct Place<'a> {
    pub(super) folder: &'a Path,
    /// Where it listens.
    pub(super) address: SocketAddr,
    /// Where a publisher or a distributor listens to whom it comes.
    pub(super) publisher: SocketAddr,
    pub(super) scenario: &'a Scenario,
    /// Are we root?
    pub(super) is_root: bool,
}

impl Place<'_> {
    /// A file of the folder, as text.
    pub(super) fn file(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    /// Connections that all publishers and consumers need together.
    pub(super) const fn connections(&self) -> usize {
        self.scenario.streams * (self.scenario.consumers + 1)
    }
}

impl Peer {
    /// Where its program is; what is missing, where something is.
    pub(super) fn find(&self) -> Result<PathBuf, String> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::env::split_paths(&path).chain(self.beside.iter().map(PathBuf::from));
        let mut places = folders.map(|folder| folder.join(self.program));
        let missing = |what: &str| format!("{what} is not installed (package {})", self.package);
        let program = places.find(|place| place.is_file()).ok_or_else(|| missing(self.program))?;
        match self.needs {
            Some(file) if !Path::new(file).is_file() => Err(missing(file)),
            _ => Ok(program),
        }
    }

    /// Start it, and wait until it listens.
    pub(super) fn start(&self, scenario: &Scenario) -> anyhow::Result<Running> {
        self.start_before(scenario, None, &[])
    }

    /// Likewise before who listens at `publisher`, with these files beside its configuration.
    pub(super) fn start_before(
        &self,
        scenario: &Scenario,
        publisher: Option<SocketAddr>,
        files: &[(&str, String)],
    ) -> anyhow::Result<Running> {
        let program = self.find().map_err(anyhow::Error::msg)?;
        let folder = TempDir::new().context("no folder for its configuration")?;
        let (address, free) = free_ports()?;
        let publisher = publisher.unwrap_or(free);
        let is_root = rustix::process::geteuid().is_root();
        let place = Place { folder: folder.path(), address, publisher, scenario, is_root };
        let config = folder.path().join(self.file);
        fs::write(&config, (self.config)(&place)).context("cannot write its configuration")?;
        for (name, text) in files {
            fs::write(folder.path().join(name), text).with_context(|| format!("no {name}"))?;
        }
        if is_root {
            [folder.path(), &config]
                .into_iter()
                .try_for_each(|path| chown(path, Some(NOBODY), Some(NOBODY)))
                .context("cannot give its folder away")?;
        }
        let program = program.into_os_string();
        let words = command(is_root && !self.steps_down, program, (self.arguments)(&place))?;
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        let log = place.file("log");
        let mut role = Role::guard(self.program, &log, &words, scenario.cores)?;
        until_it_listens(&mut role, address).with_context(|| {
            let said = fs::read_to_string(&log).unwrap_or_default();
            let last: Vec<_> = said.lines().rev().take(5).collect();
            format!("{} does not come up: {last:?}", self.program)
        })?;
        let (publish, consume) = (self.urls)(&place);
        let (publish, consume): (Target, Target) = (publish.parse()?, consume.parse()?);
        Ok(Running { publish, consume, servers: vec![role], folders: vec![folder] })
    }
}

/// The words of the command: root becomes somebody else for it.
fn command(
    as_nobody: bool,
    program: OsString,
    arguments: Vec<String>,
) -> anyhow::Result<Vec<String>> {
    let Ok(program) = program.into_string() else { bail!("its path is no text") };
    let user = NOBODY.to_string();
    let drop = ["setpriv", "--reuid", &user, "--regid", &user, "--clear-groups", "--"];
    let drop = drop.into_iter().filter(|_| as_nobody).map(Into::into);
    Ok(drop.chain([program]).chain(arguments).collect())
}

/// Two that nobody listens on: they are not given out again so soon.
pub(super) fn free_ports() -> anyhow::Result<(SocketAddr, SocketAddr)> {
    let one = TcpListener::bind("127.0.0.1:0").context("no free port")?;
    let other = TcpListener::bind("127.0.0.1:0").context("no free port")?;
    Ok((one.local_addr()?, other.local_addr()?))
}

pub(super) fn until_it_listens(role: &mut Role, address: SocketAddr) -> anyhow::Result<()> {
    let until = Moment::now().after(ROLE_ANSWER);
    while TcpStream::connect(address).is_err() {
        if role.has_ended()? {
            bail!("it has ended");
        }
        if until.left().is_zero() {
            bail!("nobody listens on {address} after {} s", ROLE_ANSWER.as_secs());
        }
        thread::sleep(SAMPLE_EVERY);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(program: &'static str, needs: Option<&'static str>) -> Peer {
        Peer {
            program,
            beside: &["/bin"],
            needs,
            package: "some-package",
            steps_down: false,
            file: "x",
            config: |_| String::new(),
            arguments: |_| Vec::new(),
            urls: |_| (String::new(), String::new()),
        }
    }

    #[test]
    fn what_is_missing_is_named_with_its_package() {
        let no_program = peer("no-such-program", None).find().unwrap_err();
        assert_eq!(no_program, "no-such-program is not installed (package some-package)");
        let no_module = peer("sh", Some("/no/such/module.so")).find().unwrap_err();
        assert!(no_module.starts_with("/no/such/module.so is not installed"), "{no_module}");
        assert!(peer("sh", None).find().is_ok());
    }

    #[test]
    fn root_becomes_somebody_else_for_it() {
        let words = command(true, "/bin/sh".into(), vec!["-c".into()]).unwrap();
        assert_eq!(words.first().map(String::as_str), Some("setpriv"));
        assert_eq!(command(false, "/bin/sh".into(), Vec::new()).unwrap(), ["/bin/sh"]);
    }
}
