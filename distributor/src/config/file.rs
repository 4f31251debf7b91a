//! The file of settings: each `key = value` becomes the argument `--key=value`.

use std::{
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
};

use clap::{Command, CommandFactory};

use super::Config;

/// Why there are no settings.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// An argument, a value, or `--help`.
    #[error(transparent)]
    Argument(#[from] clap::Error),
    /// The file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is no TOML.
    #[error("{path} is no TOML")]
    Toml {
        /// The file.
        path: PathBuf,
        /// Where it is not.
        source: toml::de::Error,
    },
    /// A key that is no setting.
    #[error("{path}: {key:?} is no setting")]
    Unknown {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
    },
    /// A value that is neither text, number, true nor false.
    #[error("{path}: {key:?} must be a text, a number, true or false")]
    Value {
        /// The file.
        path: PathBuf,
        /// Its key.
        key: String,
    },
}

/// The arguments that the file at `path` stands for, but for those the environment overrides.
pub(super) fn arguments(path: &Path) -> Result<Vec<OsString>, ConfigError> {
    let read = |source| ConfigError::Read { path: path.into(), source };
    let text = fs::read_to_string(path).map_err(read)?;
    let toml = |source| ConfigError::Toml { path: path.into(), source };
    let table: toml::Table = text.parse().map_err(toml)?;
    let command = Config::command();
    let mut arguments = Vec::new();
    for (key, value) in &table {
        let argument = argument(path, &command, key, value)?;
        arguments.extend(argument.map(OsString::from));
    }
    Ok(arguments)
}

fn argument(
    path: &Path,
    command: &Command,
    key: &str,
    value: &toml::Value,
) -> Result<Option<String>, ConfigError> {
    // A file cannot name another one.
    let known = |arg: &&clap::Arg| key != "config" && arg.get_long() == Some(key);
    let unknown = || ConfigError::Unknown { path: path.into(), key: key.into() };
    let arg = command.get_arguments().find(known).ok_or_else(unknown)?;
    let text = match value {
        toml::Value::String(text) => text.clone(),
        toml::Value::Integer(number) => number.to_string(),
        toml::Value::Boolean(is_so) => is_so.to_string(),
        _ => return Err(ConfigError::Value { path: path.into(), key: key.into() }),
    };
    let overridden = arg.get_env().is_some_and(|name| std::env::var_os(name).is_some());
    Ok((!overridden).then(|| format!("--{key}={text}")))
}

#[cfg(test)]
mod tests {
    use std::{io::Write, net::SocketAddr};

    use super::*;

    fn load(text: &str, args: &[&str]) -> Result<Config, ConfigError> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        let path = file.path().to_str().unwrap();
        Config::load([&["distributor", "--config", path], args].concat())
    }

    #[test]
    fn the_file_is_read_and_the_command_line_wins() {
        let text = "listen = \"127.0.0.1:7\"\nring-bytes = \"1MiB\"\nstreams-max = 9\n";
        let config = load(text, &["--ring-bytes", "2MiB"]).unwrap();
        assert_eq!(config.listen, SocketAddr::from(([127, 0, 0, 1], 7)));
        assert_eq!(config.store.ring_bytes, 2 << 20);
        assert_eq!(config.store.streams_max, 9);
    }

    #[test]
    fn a_list_has_commas_in_the_file_and_is_replaced_by_the_command_line() {
        let text = "upstream = \"http://a:1,http://b:2\"\n";
        let hosts = |args: &[&str]| -> Vec<String> {
            let config = load(text, args).unwrap();
            config.upstream.upstream.iter().map(ToString::to_string).collect()
        };
        assert_eq!(hosts(&[]), ["http://a:1", "http://b:2"]);
        let typed = ["--upstream", "http://c:3", "--upstream", "http://d:4"];
        assert_eq!(hosts(&typed), ["http://c:3", "http://d:4"]);
    }

    #[test]
    fn a_switch_is_true_or_false_in_the_file_and_a_word_of_its_own_on_the_command_line() {
        let deletes = |text, args: &[&str]| load(text, args).unwrap().doors.door_delete;
        assert!(deletes("door-delete = true", &[]) && !deletes("door-delete = false", &[]));
        assert!(!deletes("", &[]) && deletes("", &["--door-delete"]));
        assert!(!deletes("door-delete = true", &["--door-delete=false"]));
    }

    #[test]
    fn what_is_no_setting_is_refused() {
        assert!(
            matches!(load("lisen = \"x\"", &[]), Err(ConfigError::Unknown { key, .. }) if key == "lisen")
        );
        assert!(matches!(load("config = \"x\"", &[]), Err(ConfigError::Unknown { .. })));
        assert!(matches!(load("listen = [1]", &[]), Err(ConfigError::Value { .. })));
        assert!(matches!(load("listen", &[]), Err(ConfigError::Toml { .. })));
        assert!(matches!(load("ring-bytes = \"many\"", &[]), Err(ConfigError::Argument(_))));
        let missing = Config::load(["distributor", "--config", "/nonexistent/freshet.toml"]);
        assert!(matches!(missing, Err(ConfigError::Read { .. })));
    }
}
