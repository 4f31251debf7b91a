//! Every option of every command is documented, and every documented one is there, with its default.

use std::collections::{BTreeMap, BTreeSet};

use super::{command::command, docs::document};

/// The commands.
const COMMANDS: [&str; 5] = ["distributor", "origin", "consumer", "player", "bench"];

/// Options with their defaults, as `--help` tells them: several where sub-commands differ.
type Options = BTreeMap<String, BTreeSet<String>>;

#[test]
fn every_option_is_documented_and_every_documented_option_is_there() {
    let operations = document("docs/operations.md");
    for name in COMMANDS {
        let told = options_of(name);
        assert!(!told.is_empty(), "{name} --help lists nothing");
        let written = documented(&operations, name);
        assert_eq!(written, told, "docs/operations.md against {name} --help");
    }
}

fn help(words: &[&str]) -> String {
    let output = command(words[0]).args(&words[1..]).arg("--help").output().unwrap();
    assert!(output.status.success(), "{words:?} --help");
    String::from_utf8(output.stdout).unwrap()
}

/// The options of a command and of its sub-commands.
fn options_of(name: &str) -> Options {
    let own = help(&[name]);
    let texts = subcommands_in(&own).into_iter().map(|word| help(&[name, word]));
    let mut options = Options::new();
    for (option, defaults) in texts.chain([own.clone()]).flat_map(|text| options_in(&text)) {
        options.entry(option).or_default().extend(defaults);
    }
    options
}

fn subcommands_in(help: &str) -> Vec<&str> {
    let list = help.split("Commands:\n").nth(1).unwrap_or_default();
    let rows = list.lines().take_while(|line| line.starts_with("  "));
    let words =
        rows.filter(|row| !row.starts_with("   ")).filter_map(|row| row.split_whitespace().next());
    words.filter(|word| *word != "help").collect()
}

/// The options of one `--help`, in clap's long form: the option on a line, its text below.
fn options_in(help: &str) -> Options {
    let (mut options, mut last) = (Options::new(), None);
    for line in help.lines().map(str::trim_start) {
        let words =
            line.strip_prefix("--").or_else(|| line.split_once(", --").map(|(_, rest)| rest));
        if let Some(rest) = words.filter(|_| line.starts_with('-')) {
            let name = rest.split([' ', '=', '[']).next().unwrap();
            if !matches!(name, "help" | "version") {
                options.entry(format!("--{name}")).or_default();
                last = Some(format!("--{name}"));
            }
        }
        let default = line.split_once("[default: ").and_then(|(_, rest)| rest.split_once(']'));
        if let (Some(name), Some((default, _))) = (&last, default) {
            options.entry(name.clone()).or_default().insert(default.into());
        }
    }
    options
}

/// The rows of the tables below the heading of `name`: `| option | default | what |`.
fn documented(text: &str, name: &str) -> Options {
    let heading = format!("## Settings of `{name}`");
    let section = text.split(&heading).nth(1).unwrap_or_else(|| panic!("no {heading:?}"));
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| `--"));
    rows.map(|row| {
        let row = row.replace("\\|", "/");
        let cell = |at| row.split('|').nth(at).unwrap().trim();
        let option = cell(1).trim_matches('`').split([' ', '=']).next().unwrap();
        let defaults = cell(2).split(" or ").map(|default| default.trim_matches('`').to_owned());
        (option.to_owned(), defaults.filter(|default| !default.is_empty()).collect())
    })
    .collect()
}

#[test]
fn help_and_tables_are_read_alike() {
    let help = "Options:\n      --listen <ADDRESS>\n          Where. Without --data nothing stays.\n\n          \
                [env: FRESHET_LISTEN=]\n          [default: 127.0.0.1:8080]\n\n  -o, --output <FILE>\n\
                          \x20         The file\n  -h, --help\n          Print help\n";
    let other = "Options:\n      --listen <ADDRESS>  Where [default: now]\n";
    let table = "## Settings of `x`\n| option | default | what |\n| --- | --- | --- |\n\
                 | `--listen ADDRESS` | `127.0.0.1:8080` or `now` | where |\n| `--output FILE\\|-` | | the file |\n\
                 \n## Settings of `y`\n| `--other` | | no |\n";
    let expected = Options::from([
        ("--listen".into(), BTreeSet::from(["127.0.0.1:8080".into(), "now".into()])),
        ("--output".into(), BTreeSet::new()),
    ]);
    let mut told = options_in(help);
    told.entry("--listen".into()).or_default().extend(options_in(other)["--listen"].clone());
    assert_eq!(told, expected);
    let commands = "Usage: x\n\nCommands:\n  file  Post one\n          more of it\n  stdin  Post\n  help  Print\n\nOptions:\n  -h\n";
    assert_eq!(subcommands_in(commands), ["file", "stdin"]);
    assert_eq!(documented(table, "x"), expected);
}
