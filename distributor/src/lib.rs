//! Takes live streams in, keeps them, and answers each consumer with the newest bytes that it lacks.

pub mod limits;

mod config;

pub use config::{
    AccessConfig, BoundsConfig, Config, ConfigError, Durability, Secret, StoreConfig,
};
