//! Runs the whole chain, measures it, and holds the tests that need several roles.
//!
//! ```text
//!   versus, run, sweep, compare, model ──▶ plan ──▶ measure(relay, scenario) ──▶ Document ──▶ text, JSON, report
//!                 ┌───────────────────────────────────────┘
//!                 ├── publish (role) ──▶ relay (roles): floor, fanout, distributors, peers
//!                 │                         └──GET──▶ load (role): Reply ─▶ Checker ─▶ Report
//!                 └── usage: CPU, RSS, context switches of each
//!   glass ──▶ players on a screen of their own, whose pictures are read
//!   demo: origin, distributor, consumer and player in this one process
//! ```
//!
//! One idea carries the commands: a scenario says what flows, a relay says what it flows through, and a
//! run is the one through the other, measured. What flows is the test pattern of [`chunk`]: each chunk
//! says which one it is and when it was due.

pub mod ages;
pub mod breakdown;
pub mod chunk;
pub mod clock;
pub mod compare;
pub mod crowd;
pub mod demo;
pub mod desk;
pub mod document;
pub mod fanout;
pub mod floor;
pub mod glass;
pub mod goals;
pub mod limits;
pub mod load;
pub mod measure;
pub mod memory;
pub mod model;
pub mod plan;
pub mod progress;
pub mod publish;
pub mod relay;
pub mod report;
pub mod role;
pub mod roles;
pub mod run;
pub mod scenario;
pub mod screen;
pub mod stats;
pub mod target;
pub mod text;
pub mod usage;
pub mod versus;
