//! Which doors there are, where they listen, and which ports their data goes over.

use std::{fmt, net::SocketAddr, str::FromStr};

/// A protocol that is spoken beside HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum DoorName {
    /// Text over TCP, the video as lines of base64.
    Asp,
    /// Delimited packets over TCP.
    Packets,
    /// Text commands, binary data on a second port.
    Lines,
    /// A movie for a group, in datagrams over UDP.
    Groups,
}

impl DoorName {
    const ALL: [Self; 4] = [Self::Asp, Self::Packets, Self::Lines, Self::Groups];

    /// As it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Asp => "asp",
            Self::Packets => "packets",
            Self::Lines => "lines",
            Self::Groups => "groups",
        }
    }

    /// Open files that one session may need.
    pub(crate) const fn descriptors(self) -> usize {
        match self {
            Self::Asp | Self::Packets => 1,
            Self::Lines => 2,
            // A socket for each group, which is bounded elsewhere.
            Self::Groups => 0,
        }
    }
}

impl fmt::Display for DoorName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A door and where it listens: `asp=127.0.0.1:1986`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DoorAddress {
    /// What is spoken there.
    pub name: DoorName,
    /// Where.
    pub address: SocketAddr,
}

/// Why a text is no door.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DoorError {
    /// No name, or one that is none.
    #[error("{given:?} is no door; expected asp=, packets=, lines= or groups=ADDRESS")]
    Name {
        /// What was given.
        given: String,
    },
    /// Not an address.
    #[error("{given:?} is no address of a door; expected one like 127.0.0.1:1986")]
    Address {
        /// What was given.
        given: String,
    },
    /// Not a range of ports.
    #[error("{given:?} is no range of ports; expected one like 40000-40999, or 0 for any")]
    Ports {
        /// What was given.
        given: String,
    },
}

impl FromStr for DoorAddress {
    type Err = DoorError;

    fn from_str(text: &str) -> Result<Self, DoorError> {
        let name = || DoorError::Name { given: text.into() };
        let (given, address) = text.split_once('=').ok_or_else(name)?;
        let known = DoorName::ALL.into_iter().find(|door| door.as_str() == given);
        let address = address.parse().map_err(|_| DoorError::Address { given: address.into() })?;
        Ok(Self { name: known.ok_or_else(name)?, address })
    }
}

/// Ports to choose from, both ends included; or any that the system has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortRange {
    /// Any port that is free.
    Any,
    /// From the first to the last.
    Between {
        /// The lowest; above 0.
        first: u16,
        /// The highest.
        last: u16,
    },
}

impl FromStr for PortRange {
    type Err = DoorError;

    fn from_str(text: &str) -> Result<Self, DoorError> {
        let ports = || DoorError::Ports { given: text.into() };
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let first: u16 = first.trim().parse().map_err(|_| ports())?;
        let last: u16 = last.trim().parse().map_err(|_| ports())?;
        match (first, last) {
            (0, 0) => Ok(Self::Any),
            (first, last) if first == 0 || first > last => Err(ports()),
            (first, last) => Ok(Self::Between { first, last }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_door_is_a_name_and_an_address() {
        let door: DoorAddress = "lines=[::1]:5111".parse().unwrap();
        assert_eq!((door.name, door.address.port()), (DoorName::Lines, 5111));
        for bad in
            ["", "asp", "http=127.0.0.1:80", "asp=localhost", "asp=127.0.0.1", "=127.0.0.1:1"]
        {
            assert!(bad.parse::<DoorAddress>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_range_of_ports_has_two_ends_that_are_included() {
        assert_eq!("40000-40999".parse(), Ok(PortRange::Between { first: 40000, last: 40999 }));
        assert_eq!("7".parse(), Ok(PortRange::Between { first: 7, last: 7 }));
        assert_eq!("0".parse(), Ok(PortRange::Any));
        for bad in ["", "-", "2-1", "0-9", "1-70000", "a-b"] {
            assert!(bad.parse::<PortRange>().is_err(), "{bad}");
        }
    }
}
