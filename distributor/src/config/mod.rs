//! Every setting of the distributor: from the command line, the environment or a file.
//!
//! ```text
//!   command line  >  FRESHET_* environment  >  --config FILE (TOML)  >  default
//! ```
//!
//! One struct, one parser: a line `key = value` of the file is read as `--key=value` would be, so
//! that the two cannot differ, and a key that is no option is refused.

mod door;
mod file;
mod target;
mod units;

use std::{ffi::OsString, fmt, net::SocketAddr, path::PathBuf, str::FromStr, time::Duration};

use clap::{
    ArgAction, Args, CommandFactory, FromArgMatches, Parser, ValueEnum, builder::Resettable,
};

pub use door::{DoorAddress, DoorError, DoorName, PortRange};
pub use file::ConfigError;
pub use target::{UpstreamUrl, UpstreamUrlError};
use units::{bytes, duration};

/// Takes live streams in, keeps them, and answers each consumer with the newest bytes it lacks.
#[derive(Clone, Debug, Parser)]
#[command(name = "distributor", version, args_override_self = true)]
pub struct Config {
    /// Address to listen on. Anything but loopback needs a publish token.
    #[arg(long, env = "FRESHET_LISTEN", default_value = "127.0.0.1:8080", value_name = "ADDRESS")]
    pub listen: SocketAddr,
    /// File of settings (TOML): `key = value`, the keys as the options are called.
    #[arg(long, env = "FRESHET_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where the streams are kept, and how.
    #[command(flatten)]
    pub store: StoreConfig,
    /// Who may publish, who may read.
    #[command(flatten)]
    pub access: AccessConfig,
    /// Whom to ask for streams that are not here.
    #[command(flatten)]
    pub upstream: UpstreamConfig,
    /// What is spoken beside HTTP.
    #[command(flatten)]
    pub doors: DoorsConfig,
    /// What one peer may cost.
    #[command(flatten)]
    pub bounds: BoundsConfig,
    /// What is logged: error, warn, info, debug, trace, or a filter by module.
    #[arg(long, env = "FRESHET_LOG", default_value = "info", value_name = "FILTER")]
    pub log: String,
}

/// Where the streams are kept, and how.
#[derive(Clone, Debug, Args)]
pub struct StoreConfig {
    /// Directory of the disk copy. Without it nothing outlives the process.
    #[arg(long, env = "FRESHET_DATA", value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// What an acknowledgement means: `memory`, `os` (survives kill -9) or `disk` (survives power loss).
    #[arg(long, env = "FRESHET_DURABILITY", default_value = "os", value_name = "WHICH")]
    pub durability: Durability,
    /// Newest bytes of each stream kept in memory.
    #[arg(long, env = "FRESHET_RING_BYTES", value_parser = bytes, default_value = "16MiB", value_name = "SIZE")]
    pub ring_bytes: u64,
    /// Bytes of all streams together kept in memory.
    #[arg(long, env = "FRESHET_MEMORY_BYTES", value_parser = bytes, default_value = "512MiB", value_name = "SIZE")]
    pub memory_bytes: u64,
    /// Size of one segment file of the disk copy.
    #[arg(long, env = "FRESHET_SEGMENT_BYTES", value_parser = bytes, default_value = "16MiB", value_name = "SIZE")]
    pub segment_bytes: u64,
    /// Bytes of each stream kept on disk, oldest dropped first. Without it: all.
    #[arg(long, env = "FRESHET_RETAIN_BYTES", value_parser = bytes, value_name = "SIZE")]
    pub retain_bytes: Option<u64>,
    /// Age at which bytes on disk are dropped. Without it: never.
    #[arg(long, env = "FRESHET_RETAIN_AGE", value_parser = duration, value_name = "DURATION")]
    pub retain_age: Option<Duration>,
    /// Free space on the disk below which the oldest segments of all streams are dropped. Without it:
    /// nothing is dropped for want of space.
    #[arg(long, env = "FRESHET_RETAIN_FREE_BYTES", value_parser = bytes, value_name = "SIZE")]
    pub retain_free_bytes: Option<u64>,
    /// Free space on the disk below which no more bytes are taken in (507).
    #[arg(long, env = "FRESHET_MIN_FREE_BYTES", value_parser = bytes, default_value = "64MiB", value_name = "SIZE")]
    pub min_free_bytes: u64,
    /// Streams at once, finished ones that are still kept included.
    #[arg(long, env = "FRESHET_STREAMS_MAX", default_value_t = 1_000, value_name = "COUNT")]
    pub streams_max: usize,
    /// How far ahead of the newest byte a chunk may begin.
    #[arg(long, env = "FRESHET_GAP_BYTES_MAX", value_parser = bytes, default_value = "1GiB", value_name = "SIZE")]
    pub gap_bytes_max: u64,
    /// Runs of bytes, with holes between them, that one stream may have.
    #[arg(long, env = "FRESHET_RUNS_MAX", default_value_t = 1_024, value_name = "COUNT")]
    pub runs_max: usize,
    /// How long a named origin keeps its stream after its last byte.
    #[arg(long, env = "FRESHET_LEASE", value_parser = duration, default_value = "10s", value_name = "DURATION")]
    pub lease: Duration,
    /// How long consumers of a live stream stay when nobody posts to it; then they are cut.
    #[arg(long, env = "FRESHET_LINGER", value_parser = duration, default_value = "10m", value_name = "DURATION")]
    pub linger: Duration,
    /// Seed of entity tags and of the journals' salts, to repeat a run. Without it: the system's.
    #[arg(long, env = "FRESHET_SEED", value_name = "NUMBER")]
    pub seed: Option<u64>,
}

impl StoreConfig {
    /// Is every byte kept that is taken in, for as long as there is room?
    pub(crate) fn keeps_everything(&self) -> bool {
        self.data.is_some() && self.retain_bytes.is_none() && self.retain_age.is_none()
    }
}

/// What an acknowledgement means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Durability {
    /// The bytes are in memory, where consumers take them from.
    Memory,
    /// They were written to their file: they survive kill -9, not a power loss.
    Os,
    /// They were synced to the disk: they survive a power loss.
    Disk,
}

impl Durability {
    /// Its name, as it is given.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Os => "os",
            Self::Disk => "disk",
        }
    }
}

/// Who may publish, who may read.
#[derive(Clone, Debug, Args)]
pub struct AccessConfig {
    /// Token that publishing needs (Bearer, or the password of Basic).
    #[arg(long, env = "FRESHET_PUBLISH_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    #[arg(conflicts_with = "publish_token_file")]
    pub publish_token: Option<Secret>,
    /// File whose first line is that token.
    #[arg(long, env = "FRESHET_PUBLISH_TOKEN_FILE", value_name = "FILE")]
    pub publish_token_file: Option<PathBuf>,
    /// Token that reading needs; the publish token reads too. Without it: anybody reads.
    #[arg(long, env = "FRESHET_READ_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    #[arg(conflicts_with = "read_token_file")]
    pub read_token: Option<Secret>,
    /// File whose first line is that token.
    #[arg(long, env = "FRESHET_READ_TOKEN_FILE", value_name = "FILE")]
    pub read_token_file: Option<PathBuf>,
}

/// Whom to ask for streams that are not here.
#[derive(Clone, Debug, Args)]
pub struct UpstreamConfig {
    /// Another distributor (http://HOST:PORT) that streams are pulled from when somebody asks for
    /// them here; repeatable, in order of preference. In the environment and in a file: a list with
    /// commas.
    #[arg(long, env = "FRESHET_UPSTREAM", value_delimiter = ',', value_name = "URL")]
    pub upstream: Vec<UpstreamUrl>,
    /// How long a stream is still pulled when nobody follows it any more.
    #[arg(long, env = "FRESHET_UPSTREAM_LINGER", value_parser = duration, default_value = "30s", value_name = "DURATION")]
    pub upstream_linger: Duration,
    /// Token that reading upstream needs.
    #[arg(long, env = "FRESHET_UPSTREAM_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    #[arg(conflicts_with = "upstream_token_file")]
    pub upstream_token: Option<Secret>,
    /// File whose first line is that token.
    #[arg(long, env = "FRESHET_UPSTREAM_TOKEN_FILE", value_name = "FILE")]
    pub upstream_token_file: Option<PathBuf>,
}

/// What is spoken beside HTTP.
#[derive(Clone, Debug, Args)]
pub struct DoorsConfig {
    /// Opens a door: asp, packets, lines or groups, and the address that it listens on (asp=127.0.0.1:1986);
    /// repeatable. Anything but loopback needs a publish token. In the environment and in a file: a
    /// list with commas.
    #[arg(long, env = "FRESHET_DOOR", value_delimiter = ',', value_name = "NAME=ADDRESS")]
    pub door: Vec<DoorAddress>,
    /// Whoever reaches the door asp may delete streams there.
    #[arg(long, env = "FRESHET_DOOR_DELETE", value_name = "true|false", default_value_t = false)]
    #[arg(action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub door_delete: bool,
    /// Doors are open though there is a read token, which none of their protocols can send.
    #[arg(
        long,
        env = "FRESHET_DOOR_WITHOUT_TOKEN",
        value_name = "true|false",
        default_value_t = false
    )]
    #[arg(action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub door_without_token: bool,
    /// Sessions at once at each door; more wait in the kernel's backlog.
    #[arg(long, env = "FRESHET_DOOR_CONNECTIONS", default_value_t = 1_000, value_name = "COUNT")]
    pub door_connections: usize,
    /// How long a session may be idle: without a command, and nothing plays. A command that was begun
    /// has --idle.
    #[arg(long, env = "FRESHET_DOOR_IDLE", value_parser = duration, default_value = "10m", value_name = "DURATION")]
    pub door_idle: Duration,
    /// Ports that songs of the door lines go over, one for each that plays; 0: any that are free.
    #[arg(
        long,
        env = "FRESHET_DOOR_DATA_PORTS",
        default_value = "40000-40999",
        value_name = "FIRST-LAST"
    )]
    pub door_data_ports: PortRange,
    /// UDP ports that groups are at, one for each; 0: any that are free.
    #[arg(
        long,
        env = "FRESHET_DOOR_GROUP_PORTS",
        default_value = "41000-41999",
        value_name = "FIRST-LAST"
    )]
    pub door_group_ports: PortRange,
    /// Bytes a second that a group's movie is sent and played with.
    #[arg(long, env = "FRESHET_DOOR_GROUP_RATE", value_parser = bytes, default_value = "1MiB", value_name = "SIZE")]
    pub door_group_rate: u64,
    /// How long a group waits for members, once a movie is chosen, unless its leader begins.
    #[arg(long, env = "FRESHET_DOOR_GROUP_WAIT", value_parser = duration, default_value = "30s", value_name = "DURATION")]
    pub door_group_wait: Duration,
    /// Least time between two packets of a group's movie, whatever its members want.
    #[arg(long, env = "FRESHET_INTERVAL_MIN", value_parser = duration, default_value = "5ms", value_name = "DURATION")]
    pub interval_min: Duration,
    /// Most time between two packets of a group's movie.
    #[arg(long, env = "FRESHET_INTERVAL_MAX", value_parser = duration, default_value = "200ms", value_name = "DURATION")]
    pub interval_max: Duration,
}

/// What one peer may cost.
#[derive(Clone, Debug, Args)]
pub struct BoundsConfig {
    /// Connections at once; more wait in the kernel's backlog. Lowered to what the limit of open
    /// files leaves.
    #[arg(long, env = "FRESHET_CONNECTIONS", default_value_t = 10_000, value_name = "COUNT")]
    pub connections: usize,
    /// How long an idle connection is kept, and how long a request's head may take.
    #[arg(long, env = "FRESHET_IDLE", value_parser = duration, default_value = "30s", value_name = "DURATION")]
    pub idle: Duration,
    /// Requests that one connection may carry.
    #[arg(long, env = "FRESHET_REQUESTS_MAX", default_value_t = 10_000, value_name = "COUNT")]
    pub requests_max: u64,
    /// A peer that takes no byte for so long is cut.
    #[arg(long, env = "FRESHET_WRITE_DEADLINE", value_parser = duration, default_value = "30s", value_name = "DURATION")]
    pub write_deadline: Duration,
    /// Bytes a second that a request's body must bring, once its grace is over; 0 for none.
    #[arg(long, env = "FRESHET_BODY_RATE_MIN", value_parser = bytes, default_value = "500", value_name = "SIZE")]
    pub body_rate_min: u64,
    /// How long a request's body may be slower than that.
    #[arg(long, env = "FRESHET_BODY_GRACE", value_parser = duration, default_value = "20s", value_name = "DURATION")]
    pub body_grace: Duration,
    /// Largest chunk: a body with a Content-Range or a Content-Length. A body without either has no end.
    #[arg(long, env = "FRESHET_CHUNK_BYTES_MAX", value_parser = bytes, default_value = "64GiB", value_name = "SIZE")]
    pub chunk_bytes_max: u64,
    /// Bytes of chunks in memory, all together, that are checked before they are relayed.
    #[arg(long, env = "FRESHET_CHECKED_BYTES_MAX", value_parser = bytes, default_value = "64MiB", value_name = "SIZE")]
    pub checked_bytes_max: u64,
    /// How long a plain consumer waits at a hole for the origin to fill it.
    #[arg(long, env = "FRESHET_GAP_WAIT", value_parser = duration, default_value = "10s", value_name = "DURATION")]
    pub gap_wait: Duration,
    /// How long requests at hand may take to end once the distributor is told to stop.
    #[arg(long, env = "FRESHET_DRAIN", value_parser = duration, default_value = "10s", value_name = "DURATION")]
    pub drain: Duration,
}

/// A token that is not printed by accident.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The token itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl FromStr for Secret {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.into()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl Config {
    /// Read the settings from `args` (the program's name first), the environment and, where one is
    /// named, the file.
    ///
    /// # Errors
    ///
    /// Something is no setting, or its value means nothing; asking for `--help` is one as well.
    pub fn load<I>(args: I) -> Result<Self, ConfigError>
    where
        I: IntoIterator,
        I::Item: Into<OsString>,
    {
        let args: Vec<OsString> = args.into_iter().map(Into::into).collect();
        let typed = Self::try_parse_from(&args)?;
        let Some(path) = &typed.config else { return Ok(typed) };
        let from_file = file::arguments(path)?;
        let (name, rest) = args.split_at(args.len().min(1));
        let mut config = Self::try_parse_from([name, &from_file, rest].concat())?;
        // What is repeatable is replaced like everything else, not added to.
        if !typed.upstream.upstream.is_empty() {
            config.upstream.upstream = typed.upstream.upstream;
        }
        if !typed.doors.door.is_empty() {
            config.doors.door = typed.doors.door;
        }
        Ok(config)
    }
}

/// The defaults alone: no argument, no environment, no file.
impl Default for Config {
    fn default() -> Self {
        let command = Self::command().mut_args(|arg| arg.env(Resettable::Reset));
        let parsed = command
            .try_get_matches_from(["distributor"])
            .and_then(|matches| Self::from_arg_matches(&matches));
        // The defaults stand in this file, and a test parses them.
        parsed.expect("defaults are valid")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid_and_listen_on_loopback() {
        Config::command().debug_assert();
        let config = Config::default();
        assert!(config.listen.ip().is_loopback());
        assert_eq!(config.store.ring_bytes, 16 << 20);
        assert_eq!(config.bounds.write_deadline, Duration::from_secs(30));
    }

    #[test]
    fn every_setting_has_an_environment_variable_of_our_name_and_a_description() {
        let command = Config::command();
        let ours = |id: &str| !matches!(id, "help" | "version");
        for arg in command.get_arguments().filter(|arg| ours(arg.get_id().as_str())) {
            let long = arg.get_long().unwrap();
            let env = format!("FRESHET_{}", long.replace('-', "_").to_uppercase());
            assert_eq!(arg.get_env().unwrap(), env.as_str());
            assert!(arg.get_help().is_some(), "{long}");
        }
    }

    #[test]
    fn a_secret_is_not_printed() {
        let config = Config::load(["distributor", "--read-token", "hush"]).unwrap();
        assert!(!format!("{config:?}").contains("hush"));
        assert_eq!(config.access.read_token.unwrap().expose(), "hush");
    }
}
