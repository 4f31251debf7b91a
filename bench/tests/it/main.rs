//! Tests that need several roles: the commands as they were built, over real sockets.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
#![allow(clippy::indexing_slicing, reason = "a test stops at the first surprise")]

mod breakdown;
mod browser;
mod capture;
mod command;
mod crash;
mod damage;
mod demo;
mod disk;
mod docs;
mod doors;
mod edges;
mod example;
mod glass;
mod group_crowd;
mod groups;
mod joining;
mod load;
mod lossy;
mod measure;
mod media;
mod metrics;
mod options;
mod player;
mod players;
mod proxies;
mod slow;
mod sound;
mod stalled;
mod stop;
mod testcard;
