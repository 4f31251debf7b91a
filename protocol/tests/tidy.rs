//! House rules that a machine can check, over every crate of the workspace.
//!
//! A rule is a plain function from a file to its complaints. The first half of this file runs all
//! of them over the tree; the second half shows each of them complaining, so that a rule which has
//! gone blind is noticed.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Lines of one source file, its tests not counted: what a reader can keep in mind.
const FILE_LINES_MAX: usize = 400;

/// Lines of a `main.rs`: arguments, logging, signals, in the size of one function. The rest belongs
/// into the library.
const MAIN_LINES_MAX: usize = 70;

/// The crates, and which of the others each may name. Roles meet on the wire and in `bench` only.
const CRATES: [(&str, &[&str]); 6] = [
    ("protocol", &[]),
    ("origin", &["protocol"]),
    ("distributor", &["protocol"]),
    ("consumer", &["protocol"]),
    ("player", &["consumer", "protocol"]),
    ("bench", &["consumer", "distributor", "origin", "player", "protocol"]),
];

/// The distributor's modules from top to bottom: each may use those of lower layers only.
const LAYERS: [&[&str]; 12] = [
    &["lib", "main"],
    &["serve"],
    &["doors", "http"],
    &["auth", "groups", "stall", "tls"],
    &["fanout"],
    &["hub"],
    &["upstream"],
    &["fabric", "lease", "store"],
    &["join"],
    &["config", "inlet", "metrics", "outlet"],
    &["received"],
    &["deadline", "limits", "rope"],
];

/// What may not be said where, and why.
const STRANGERS: [(&str, &[&str], &str); 4] = [
    ("distributor/src/store", &["http::", "hyper", "StatusCode"], "the store knows no HTTP"),
    ("distributor/src/http", &["fs::", "File::", "OpenOptions"], "http opens no file"),
    ("distributor/src/http", &["crate::store"], "http comes to the store through the hub only"),
    (
        "protocol/src",
        &["fs::", "hyper", "Instant", "SystemTime::now", "std::net", "tokio"],
        "the words of the wire need no runtime, no clock, no socket, no file",
    ),
];

/// One source file of the workspace.
struct Source {
    /// From the workspace's root, with `/`.
    path: String,
    text: String,
    /// Is it `main.rs` or a module of it, and so part of a command?
    of_command: bool,
}

type Rule = fn(&Source) -> Vec<String>;

const RULES: [Rule; 6] = [header, length, unfinished, strangers, statuses_and_anyhow, arrows];

#[test]
fn every_source_file_keeps_the_house_rules() {
    let sources = sources();
    for (name, _) in CRATES {
        let lib = format!("{name}/src/lib.rs");
        assert!(sources.iter().any(|source| source.path == lib), "{lib} was not looked at");
    }
    let complaints: Vec<_> = sources
        .iter()
        .flat_map(|source| {
            let say = |complaint| format!("{}: {complaint}", source.path);
            RULES.iter().flat_map(|rule| rule(source)).map(say).collect::<Vec<_>>()
        })
        .collect();
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

#[test]
fn no_role_depends_on_another() {
    for (name, allowed) in CRATES {
        let manifest = fs::read_to_string(root().join(name).join("Cargo.toml")).unwrap();
        let allowed: BTreeSet<_> = allowed.iter().map(ToString::to_string).collect();
        let beyond: Vec<_> = siblings_named(&manifest).difference(&allowed).cloned().collect();
        assert!(beyond.is_empty(), "{name} may not depend on {beyond:?}");
    }
}

#[test]
fn every_member_of_the_workspace_is_known_here() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let line = manifest.lines().find(|line| line.starts_with("members")).unwrap();
    let members: BTreeSet<_> = line.split('"').skip(1).step_by(2).collect();
    assert_eq!(members, CRATES.iter().map(|(name, _)| *name).collect());
}

#[test]
fn the_code_map_has_every_file_and_no_other() {
    let map = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let mut mapped = files_mapped(&map);
    let mut missing = Vec::new();
    for Source { path, text, .. } in sources() {
        if !is_test_module(&path) && !mapped.remove(&path) {
            let purpose = text.lines().next().unwrap_or_default().trim_start_matches("//! ");
            missing.push(format!("{path}: {purpose}"));
        }
    }
    assert!(missing.is_empty(), "ARCHITECTURE.md lacks rows for\n{}", missing.join("\n"));
    assert!(mapped.is_empty(), "ARCHITECTURE.md has rows for files that are not there: {mapped:?}");
}

/// The first line says what the file is for.
fn header(source: &Source) -> Vec<String> {
    let opens = source.text.starts_with("//! ");
    complain_unless(opens, || "does not open with a `//! ` line that says what it is for".into())
}

fn length(source: &Source) -> Vec<String> {
    let is_main = source.path.ends_with("src/main.rs");
    let max = if is_main { MAIN_LINES_MAX } else { FILE_LINES_MAX };
    let lines =
        if is_test_module(&source.path) { 0 } else { without_tests(&source.text).lines().count() };
    complain_unless(lines <= max, || format!("{lines} lines without tests, {max} are allowed"))
}

/// Nothing half done; spelled in two halves so that this file may be looked at as well.
fn unfinished(source: &Source) -> Vec<String> {
    let words = [concat!("to", "do!"), concat!("unimple", "mented!"), concat!("FIX", "ME")];
    let found = words.iter().filter(|word| source.text.contains(**word));
    found.map(|word| format!("has {word}: finish it or leave it out")).collect()
}

/// Words that do not belong into a folder.
fn strangers(source: &Source) -> Vec<String> {
    let code = code_of(&source.text);
    STRANGERS
        .iter()
        .filter(|(folder, ..)| is_in(&source.path, folder))
        .flat_map(|(_, words, why)| words.iter().map(move |word| (word, why)))
        .filter(|(word, _)| has_word(&code, word))
        .map(|(word, why)| format!("says {word}, but {why}"))
        .collect()
}

/// Facts become statuses in one place, and prose in commands only.
fn statuses_and_anyhow(source: &Source) -> Vec<String> {
    let code = code_of(&source.text);
    let mut complaints = Vec::new();
    if source.path.starts_with("distributor/src/") && source.path != "distributor/src/http/reply.rs"
    {
        let free = !has_word(&code, "StatusCode");
        complaints.extend(complain_unless(free, || "only http/reply.rs knows statuses".into()));
    }
    if !source.path.starts_with("bench/") && !source.of_command {
        let free = !has_word(&code, "anyhow");
        complaints.extend(complain_unless(free, || "only commands and bench know anyhow".into()));
    }
    complaints
}

/// Inside the distributor, whatever is used lies in a lower layer.
fn arrows(source: &Source) -> Vec<String> {
    let Some(inside) = source.path.strip_prefix("distributor/src/") else { return Vec::new() };
    let own = inside.split('/').next().unwrap().trim_end_matches(".rs");
    let layer = |module: &str| LAYERS.iter().position(|layer| layer.contains(&module));
    let Some(from) = layer(own) else { return vec![format!("module {own} has no layer yet")] };
    modules_used(&code_of(&source.text))
        .iter()
        .filter(|used| *used != own)
        .filter_map(|used| match layer(used) {
            Some(to) if from < to => None,
            Some(_) => Some(format!("{own} uses {used}, which does not lie below it")),
            None => Some(format!("{own} uses {used}, which has no layer yet")),
        })
        .collect()
}

fn complain_unless(fine: bool, complaint: impl FnOnce() -> String) -> Vec<String> {
    if fine { Vec::new() } else { vec![complaint()] }
}

/// The text before its test module. A `#[cfg(test)]` on anything else ends nothing.
fn without_tests(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod ").next().unwrap()
}

/// A file that is a test module as a whole.
fn is_test_module(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.contains("/src/") && path.contains("/tests/")
}

/// The text without its tests and without the lines that are comments.
fn code_of(text: &str) -> String {
    let code = without_tests(text).lines().filter(|line| !line.trim_start().starts_with("//"));
    code.flat_map(|line| [line, "\n"]).collect()
}

/// Is the file of that path in `folder`, or the one file that stands for it?
fn is_in(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/') || rest == ".rs")
}

/// Does `word` stand in `code`, not as the end of a longer one?
fn has_word(code: &str, word: &str) -> bool {
    let inner = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(word).any(|(at, _)| !code.get(..at).unwrap().ends_with(inner))
}

/// The other crates of the workspace that a manifest names, in whatever section.
fn siblings_named(manifest: &str) -> BTreeSet<String> {
    let own = |line: &&str| !line.starts_with("name =") && !line.starts_with('#');
    let names = manifest.lines().filter(own).flat_map(|line| line.split("freshet-").skip(1));
    names.map(|rest| leading_word(rest).to_owned()).collect()
}

/// The files in the tables of a code map: `### folder`, and below it rows of "| `file` | ...".
fn files_mapped(map: &str) -> BTreeSet<String> {
    let (mut folder, mut files) = ("", BTreeSet::new());
    for line in map.lines() {
        if let Some(heading) = line.strip_prefix("### ") {
            folder = heading;
        } else if let Some((file, _)) = line.strip_prefix("| `").and_then(|row| row.split_once('`'))
            && folder.ends_with("/src")
        {
            files.insert(format!("{folder}/{file}"));
        }
    }
    files
}

/// The module of each `crate::` path, those of a group `crate::{a, b::{c}}` included. What is used
/// by a type's name comes from `lib`.
fn modules_used(code: &str) -> BTreeSet<String> {
    code.split("crate::")
        .skip(1)
        .flat_map(|path| path.strip_prefix('{').map_or_else(|| vec![path], items_of_group))
        .map(|item| leading_word(item.trim_start()))
        .filter(|word| !word.is_empty() && *word != "self")
        .map(|word| if word.starts_with(char::is_uppercase) { "lib" } else { word }.to_owned())
        .collect()
}

/// The items of a group up to its closing brace, nested groups left whole.
fn items_of_group(group: &str) -> Vec<&str> {
    let (mut items, mut depth, mut start) = (Vec::new(), 0_usize, 0);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                items.push(group.get(start..at).unwrap());
                start = at + 1;
            }
            _ => {}
        }
        if c == '}' && start == at + 1 {
            break;
        }
    }
    items
}

fn leading_word(text: &str) -> &str {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// Every `*.rs` under the `src` folder of every crate.
fn sources() -> Vec<Source> {
    let root = root();
    // `protocol` has no command.
    let command_of = |name| fs::read_to_string(root.join(name).join("src/main.rs"));
    let commands: Vec<_> =
        CRATES.iter().map(|(name, _)| (*name, command_of(*name).unwrap_or_default())).collect();
    let mut folders: Vec<_> = CRATES.iter().map(|(name, _)| root.join(name).join("src")).collect();
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let inside = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
                let text = fs::read_to_string(&path).unwrap();
                let of_command =
                    commands.iter().any(|(name, main)| is_of_command(&inside, name, main));
                found.push(Source { path: inside, text, of_command });
            }
        }
    }
    found
}

/// Does the file of that path belong to the command of crate `name`, whose main.rs is `main`?
fn is_of_command(path: &str, name: &str, main: &str) -> bool {
    let Some(inside) = path.strip_prefix(&format!("{name}/src/")) else { return false };
    let module = inside.split('/').next().unwrap().trim_end_matches(".rs");
    module == "main" || main.lines().any(|line| line == format!("mod {module};"))
}

/// What all rules together say of one file.
fn complaints(path: &str, text: &str) -> Vec<String> {
    let of_command = path.ends_with("/main.rs");
    let source = Source { path: path.into(), text: text.into(), of_command };
    RULES.iter().flat_map(|rule| rule(&source)).collect()
}

#[test]
fn a_tidy_file_raises_no_complaint() {
    let text = "//! What it is for.\nuse crate::{hub::{Claim, Hub}, limits};\n// no crate::store\n";
    assert_eq!(complaints("distributor/src/http/plain.rs", text), [""; 0]);
}

#[test]
fn a_file_without_a_header_is_noticed() {
    for text in ["", "use std::io;\n", "// what\n", "//!\n//! late\n"] {
        assert_eq!(complaints("origin/src/push.rs", text).len(), 1, "{text:?}");
    }
}

#[test]
fn a_long_file_is_noticed_and_its_tests_do_not_count() {
    let lines = |count: usize| format!("//! x\n{}", "let x = 1;\n".repeat(count - 1));
    let tests = "#[cfg(test)]\nmod tests {\n}\n".to_owned() + &lines(500);

    assert_eq!(complaints("origin/src/push.rs", &(lines(FILE_LINES_MAX) + &tests)), [""; 0]);
    assert_eq!(complaints("origin/src/push.rs", &lines(FILE_LINES_MAX + 1)).len(), 1);
    assert_eq!(complaints("origin/src/main.rs", &lines(MAIN_LINES_MAX + 1)).len(), 1);
    let early = "//! x\n#[cfg(test)]\nuse std::io;\n".to_owned() + &lines(FILE_LINES_MAX);
    assert_eq!(complaints("origin/src/push.rs", &early).len(), 1, "only a test module ends it");
}

#[test]
fn what_is_unfinished_is_noticed() {
    for word in [concat!("to", "do!()"), concat!("unimple", "mented!()"), concat!("// FIX", "ME")] {
        assert_eq!(complaints("player/src/via.rs", &format!("//! x\n{word}\n")).len(), 1, "{word}");
    }
}

#[test]
fn a_word_in_the_wrong_folder_is_noticed() {
    for (path, line) in [
        ("distributor/src/store/ring.rs", "use http::Method;"),
        ("distributor/src/store/ring.rs", "use hyper::body;"),
        ("distributor/src/http/plain.rs", "use std::{fs, io};\nfs::read(x)"),
        ("distributor/src/http/range.rs", "std::fs::File::open(x)"),
        ("distributor/src/http/range.rs", "let s: crate::store::Stream;"),
        ("distributor/src/http/plain.rs", "StatusCode::OK"),
        ("distributor/src/config.rs", "anyhow::bail!(x)"),
        ("protocol/src/stamp.rs", "SystemTime::now()"),
    ] {
        assert_ne!(complaints(path, &format!("//! x\n{line}\n")), [""; 0], "{path}: {line}");
    }
    assert_eq!(complaints("bench/src/demo.rs", "//! x\nanyhow::bail!(x)\n"), [""; 0]);
    assert_eq!(complaints("distributor/src/http/plain.rs", "//! x\nrefs::count()\n"), [""; 0]);
}

#[test]
fn a_module_of_main_is_part_of_the_command() {
    let main = "//! x\nmod args;\nmod run;\n";
    for (path, expected) in [
        ("origin/src/main.rs", true),
        ("origin/src/args.rs", true),
        ("origin/src/run/loop.rs", true),
        ("origin/src/push.rs", false),
        ("consumer/src/args.rs", false),
    ] {
        assert_eq!(is_of_command(path, "origin", main), expected, "{path}");
    }
    assert_eq!(complaints("origin/src/args.rs", "//! x\nuse anyhow::bail;\n").len(), 1);
    assert_eq!(complaints("origin/src/main.rs", "//! x\nuse anyhow::bail;\n"), [""; 0]);
}

#[test]
fn an_arrow_that_points_up_or_sideways_is_noticed() {
    for (path, line) in [
        ("distributor/src/store/mod.rs", "use crate::hub::Hub;"),
        ("distributor/src/store/mod.rs", "use crate::{limits, lease::Lease};"),
        ("distributor/src/hub.rs", "use crate::{limits, store::{Stream, ring}, serve};"),
        ("distributor/src/limits.rs", "let x = crate::metrics::f();"),
        ("distributor/src/hub.rs", "use crate::Distributor;"),
        ("distributor/src/hub.rs", "use crate::surprise::X;"),
        ("distributor/src/surprise.rs", ""),
    ] {
        assert_eq!(complaints(path, &format!("//! x\n{line}\n")).len(), 1, "{path}: {line}");
    }
}

#[test]
fn a_code_map_is_read_by_its_tables() {
    let map = "| `no` | x |\n### a/src\n| file | what |\n| `lib.rs` | `x` |\n| `b/c.rs` | y |\n### Others\n| `check` | z |\n";
    assert_eq!(
        files_mapped(map),
        BTreeSet::from(["a/src/lib.rs", "a/src/b/c.rs"].map(str::to_owned))
    );
}

#[test]
fn groups_are_seen_into() {
    let code = "use crate::{\n    limits,\n    store::{Store, deep},\n    hub::{self},\n};\nlet x = crate::http::f();";
    let expected = ["http", "hub", "limits", "store"].map(str::to_owned);
    assert_eq!(modules_used(code), BTreeSet::from(expected));
}

#[test]
fn a_dependency_is_seen_in_every_way_to_write_it() {
    let manifest = "name = \"freshet-origin\"\n# freshet-bench\nfreshet-protocol.workspace = true\n\
                    [dependencies.freshet-consumer]\nx = { package = \"freshet-distributor\" }\n";
    let expected = ["consumer", "distributor", "protocol"].map(str::to_owned);
    assert_eq!(siblings_named(manifest), BTreeSet::from(expected));
}
