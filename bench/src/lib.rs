//! Runs the whole chain, measures it, and holds the tests that need several roles.
//!
//! ```text
//!   speed, memory ──▶ publish ──PUT──▶ server (role: distributor, bare fanout)
//!         │                               └──GET──▶ load (role): Reply ─▶ Checker ─▶ Report
//!         └── usage: CPU, RSS of each role's process
//!   demo: origin, distributor, consumer and player in this one process
//! ```
//!
//! What flows is the test pattern of [`chunk`]: each chunk says which one it is and when it was due.

pub mod chunk;
pub mod clock;
pub mod crowd;
pub mod demo;
pub mod fanout;
pub mod limits;
pub mod load;
pub mod memory;
pub mod publish;
pub mod report;
pub mod role;
pub mod roles;
pub mod screen;
pub mod speed;
pub mod usage;
