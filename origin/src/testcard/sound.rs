//! The tone: quiet, with a loud click at the beginning of each second of the Unix clock, as Opus packets.

use std::{f64::consts::TAU, time::Duration};

use freshet_protocol::Stamp;
use ropus::{Application, Bitrate, Channels, Encoder};

use super::TestCardError;
use crate::limits::{CARD_PACKET, CARD_SOUND_BITRATE, OPUS_PACKET_BYTES_MAX};

/// Samples per second, and units of the track's time.
pub(super) const SAMPLE_RATE: u32 = 48_000;
const PACKET_SAMPLES: u64 = SAMPLE_RATE as u64 * CARD_PACKET.as_millis() as u64 / 1000;
const TONE_HZ: u64 = 440;
const CLICK_HZ: u64 = 1000;
/// How long a click is, in samples: 30 ms.
const CLICK_SAMPLES: u64 = SAMPLE_RATE as u64 * 30 / 1000;
const TONE_LEVEL: f64 = 0.05;
const CLICK_LEVEL: f64 = 0.6;

pub(super) struct Sound {
    encoder: Encoder,
    begun: Stamp,
    /// Packets made or left out.
    packets: u64,
    buffer: Vec<u8>,
}

impl Sound {
    pub(super) fn new(begun: Stamp) -> Result<Self, TestCardError> {
        let low_delay = Application::RestrictedLowDelay;
        let encoder = Encoder::builder(SAMPLE_RATE, Channels::Mono, low_delay)
            .bitrate(Bitrate::Bits(CARD_SOUND_BITRATE))
            .build()?;
        Ok(Self { encoder, begun, packets: 0, buffer: vec![0; OPUS_PACKET_BYTES_MAX] })
    }

    /// Samples that the encoder holds back.
    pub(super) fn lookahead(&self) -> u16 {
        u16::try_from(self.encoder.lookahead()).unwrap_or(u16::MAX)
    }

    /// When the next packet is all captured, since the beginning.
    pub(super) fn due(&self) -> Duration {
        CARD_PACKET.saturating_mul(u32::try_from(self.packets + 1).unwrap_or(u32::MAX))
    }

    /// The next packet, and when it was captured.
    pub(super) fn packet(&mut self) -> Result<(&[u8], Stamp), TestCardError> {
        // What comes out belongs to what went in that much earlier.
        let first = self.time().0 + u64::from(self.lookahead());
        let samples: Vec<_> = (first..first + PACKET_SAMPLES).map(sample).collect();
        let bytes = self.encoder.encode(&samples, &mut self.buffer)?;
        let due = i64::try_from(self.due().as_nanos()).unwrap_or(i64::MAX);
        self.packets += 1;
        Ok((self.buffer.get(..bytes).unwrap_or_default(), self.begun.shifted(due)))
    }

    /// Time and length of the next packet, in samples.
    pub(super) fn time(&self) -> (u64, u32) {
        let first = first_sample(self.begun) + self.packets * PACKET_SAMPLES;
        (first, PACKET_SAMPLES as u32)
    }

    /// Leave out what should have been made before.
    pub(super) fn skip_to(&mut self, elapsed: Duration) {
        let packets = elapsed.as_nanos() / CARD_PACKET.as_nanos();
        self.packets = self.packets.max(u64::try_from(packets).unwrap_or(u64::MAX));
    }
}

/// The number of the sample at that time, counted from the Unix epoch.
fn first_sample(begun: Stamp) -> u64 {
    let samples = u128::from(begun.nanos()) * u128::from(SAMPLE_RATE) / 1_000_000_000;
    u64::try_from(samples).unwrap_or(u64::MAX)
}

fn sample(number: u64) -> i16 {
    let of_second = number % u64::from(SAMPLE_RATE);
    // Whole periods fit into a second, so the tone goes on from one to the next.
    let wave = |hertz: u64| {
        (TAU * (of_second * hertz % u64::from(SAMPLE_RATE)) as f64 / f64::from(SAMPLE_RATE)).sin()
    };
    let level = if of_second < CLICK_SAMPLES {
        CLICK_LEVEL * wave(CLICK_HZ)
    } else {
        TONE_LEVEL * wave(TONE_HZ)
    };
    (level * f64::from(i16::MAX)) as i16
}
