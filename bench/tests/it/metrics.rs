//! Every metric is documented, and every documented one is there.

use std::{collections::BTreeMap, process::Command};

use super::{command::DEADLINE, docs::document, doors::Doors};

/// Metrics with their types.
type Metrics = BTreeMap<String, String>;

#[test]
fn every_metric_is_documented_and_every_documented_one_is_there() {
    // Doors, and a request that was answered, make the counters that have labels.
    let node = Doors::open();
    fetch(&node.http, "/healthz");
    let exposed = exposed(&fetch(&node.http, "/metrics"));
    assert_eq!(documented(&document("docs/operations.md")), exposed);
}

fn fetch(address: &str, path: &str) -> String {
    let deadline = DEADLINE.as_secs().to_string();
    let url = format!("http://{address}{path}");
    let output = Command::new("curl").args(["-sSf", "-m", &deadline, &url]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The names as they are asked for: a counter's sample has `_total` behind the name of its family.
fn exposed(text: &str) -> Metrics {
    let families = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let pairs = families.filter_map(|family| family.split_once(' '));
    let suffix = |kind: &str| if kind == "counter" { "_total" } else { "" };
    pairs.map(|(name, kind)| (format!("{name}{}", suffix(kind)), kind.into())).collect()
}

/// The rows "| `freshet_...` | type | what |".
fn documented(text: &str) -> Metrics {
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `freshet_"));
    rows.map(|row| {
        let (name, rest) = row.split_once('`').unwrap();
        let kind = rest.split('|').nth(1).unwrap().trim();
        let name = name.split('{').next().unwrap();
        (format!("freshet_{name}"), kind.into())
    })
    .collect()
}

#[test]
fn tables_and_expositions_are_read_alike() {
    let text = "# HELP freshet_a A.\n# TYPE freshet_a counter\nfreshet_a_total{x=\"1\"} 3\n\
                # TYPE freshet_b gauge\nfreshet_b 1\n# EOF\n";
    let table = "| `freshet_a_total{x}` | counter | a |\n| `freshet_b` | gauge | b |\n";
    assert_eq!(exposed(text), documented(table));
    assert_eq!(exposed(text).len(), 2);
}
