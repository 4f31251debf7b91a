//! Sound on a PulseAudio server (PipeWire is one, too): each sample when it is due.
//!
//! ```text
//!   Sound, due ──▶ queue ──▶ fill: what is asked for now is heard a latency later ──▶ server
//! ```
//!
//! What is a little early or late is played a little slower or faster; what is more than a little waits in silence, or
//! is left out.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
};

use pulseaudio::{
    AsPlaybackSource, Client, ClientError, PlaybackStream,
    protocol::{
        ChannelMap, DEFAULT_SINK, PlaybackStreamParams, SampleFormat, SampleSpec,
        stream::{BufferAttr, StreamFlags},
    },
};

use super::screen::now;
use crate::{
    limits::{SOUND_APART_MAX, SOUND_BUFFER, SOUND_NEAR, SOUND_QUEUE, SOUND_SPEED_MAX},
    sound::Sound,
};

/// A stream to the server; it ends when this is dropped.
pub(super) struct Speaker {
    shared: Arc<Shared>,
    stream: PlaybackStream,
    rate: u32,
    channels: usize,
}

#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    /// From being asked for a sample until it is heard, in nanoseconds.
    latency: AtomicU64,
    is_muted: AtomicBool,
    is_over: AtomicBool,
}

/// Samples that wait until they are due.
#[derive(Debug)]
pub(super) struct Queue {
    rate: u32,
    channels: usize,
    frames: VecDeque<f32>,
    /// When the first of them is due, in nanoseconds of the Unix clock.
    due: f64,
    /// How far we are between two of them.
    between: f64,
}

impl Speaker {
    /// Open a stream of that kind.
    ///
    /// # Errors
    ///
    /// There is no server, or it refuses.
    pub(super) async fn open(rate: u32, channels: usize) -> Result<Self, ClientError> {
        let client = Client::from_env(c"freshet player")?;
        let shared = Arc::new(Shared {
            queue: Mutex::new(Queue::new(rate, channels)),
            latency: AtomicU64::new(nanos(SOUND_BUFFER)),
            is_muted: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
        });
        let channel_map = if channels == 1 { ChannelMap::mono() } else { ChannelMap::stereo() };
        let bytes = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
        let target = u64::from(rate) * channels as u64 * 4 * nanos(SOUND_BUFFER) / 1_000_000_000;
        let parameters = PlaybackStreamParams {
            sample_spec: SampleSpec {
                format: SampleFormat::Float32Le,
                channels: u8::try_from(channels).unwrap_or(u8::MAX),
                sample_rate: rate,
            },
            channel_map,
            sink_name: Some(DEFAULT_SINK.to_owned()),
            buffer_attr: BufferAttr {
                target_length: bytes(target),
                pre_buffering: 0,
                ..BufferAttr::default()
            },
            flags: StreamFlags { adjust_latency: true, ..StreamFlags::default() },
            ..PlaybackStreamParams::default()
        };
        let fills = Arc::clone(&shared);
        let fill = move |buffer: &mut [u8]| fills.fill(buffer);
        let stream = client.create_playback_stream(parameters, fill.as_playback_source()).await?;
        Ok(Self { shared, stream, rate, channels })
    }

    /// Can it play this?
    pub(super) const fn fits(&self, sound: &Sound) -> bool {
        self.rate == sound.rate && self.channels == sound.channels
    }

    /// Play this from that time on.
    pub(super) fn play(&self, sound: &Sound, due: u64) {
        self.shared.queue().put(&sound.samples, due as f64);
    }

    /// From being asked for a sample until it is heard, in nanoseconds.
    pub(super) fn latency(&self) -> u64 {
        self.shared.latency.load(Relaxed)
    }

    /// Ask the server how long it takes at present.
    pub(super) async fn look(&self) {
        // One that does not answer is as it was.
        let Ok(timing) = self.stream.timing_info().await else { return };
        let bytes = u64::try_from(timing.write_offset - timing.read_offset).unwrap_or(0);
        let per_second = u64::from(self.rate) * self.channels as u64 * 4;
        let queued = bytes * 1_000_000_000 / per_second.max(1);
        self.shared.latency.store(queued + timing.sink_usec * 1000, Relaxed);
    }

    /// Be silent, or be heard again.
    pub(super) fn toggle_mute(&self) {
        self.shared.is_muted.fetch_xor(true, Relaxed);
    }

    /// What waits is not wanted any more.
    pub(super) fn clear(&self) {
        self.shared.queue().frames.clear();
    }
}

impl Drop for Speaker {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Relaxed);
    }
}

impl Shared {
    fn queue(&self) -> std::sync::MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is heard a latency from now. Nothing would be the end: silence is not.
    fn fill(&self, buffer: &mut [u8]) -> usize {
        if self.is_over.load(Relaxed) {
            return 0;
        }
        let heard = now().nanos() + self.latency.load(Relaxed);
        let mut samples = vec![0.0; buffer.len() / 4];
        self.queue().fill(&mut samples, heard as f64);
        if self.is_muted.load(Relaxed) {
            samples.fill(0.0);
        }
        for (out, sample) in buffer.chunks_exact_mut(4).zip(&samples) {
            out.copy_from_slice(&sample.to_le_bytes());
        }
        samples.len() * 4
    }
}

fn nanos(of: std::time::Duration) -> u64 {
    u64::try_from(of.as_nanos()).unwrap_or(u64::MAX)
}

impl Queue {
    fn new(rate: u32, channels: usize) -> Self {
        Self { rate, channels: channels.max(1), frames: VecDeque::new(), due: 0.0, between: 0.0 }
    }

    fn frame_nanos(&self) -> f64 {
        1e9 / f64::from(self.rate.max(1))
    }

    /// Samples come, due then. Where they do not follow on those that wait, these are as good as gone.
    fn put(&mut self, samples: &[f32], due: f64) {
        let waiting = self.frames.len() / self.channels;
        let follows = self.due + waiting as f64 * self.frame_nanos();
        let most = self.rate as usize * self.channels * SOUND_QUEUE.as_secs() as usize;
        let is_new = waiting == 0 || (due - follows).abs() > nanos(SOUND_APART_MAX) as f64;
        if is_new || self.frames.len() + samples.len() > most {
            self.frames.clear();
            self.due = due;
        } else {
            // Towards what the clock says now, in small steps.
            self.due += (due - follows) / 8.0;
        }
        self.frames.extend(samples);
    }

    /// The next samples, the first of which is heard at that time.
    fn fill(&mut self, out: &mut [f32], heard: f64) {
        let frame = self.frame_nanos();
        for (at, place) in out.chunks_exact_mut(self.channels).enumerate() {
            let early = self.due - (heard + at as f64 * frame);
            if self.frames.len() < 2 * self.channels || early > nanos(SOUND_APART_MAX) as f64 {
                continue;
            }
            if early < -(nanos(SOUND_APART_MAX) as f64) {
                let late = ((-early / frame) as usize).min(self.frames.len() / self.channels - 1);
                self.drop_front(late);
            }
            self.interpolate(place);
            self.step(early);
        }
    }

    /// The sample between two.
    fn interpolate(&self, place: &mut [f32]) {
        for (channel, out) in place.iter_mut().enumerate() {
            let at = |frame: usize| {
                self.frames.get(frame * self.channels + channel).copied().unwrap_or_default()
            };
            *out = at(0) + (at(1) - at(0)) * self.between as f32;
        }
    }

    /// On by one, or a little less or more.
    fn step(&mut self, early: f64) {
        let is_near = early.abs() < nanos(SOUND_NEAR) as f64;
        let change = (-early / 1e9).clamp(-SOUND_SPEED_MAX, SOUND_SPEED_MAX);
        let step = if is_near { 1.0 } else { 1.0 + change };
        self.between += step;
        let whole = self.between as usize;
        self.between -= whole as f64;
        self.drop_front(whole);
    }

    fn drop_front(&mut self, frames: usize) {
        let count = (frames * self.channels).min(self.frames.len());
        self.frames.drain(..count);
        self.due += (count / self.channels) as f64 * self.frame_nanos();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: u32 = 48_000;
    const MS: f64 = 1e6;

    fn ramp(from: usize, count: usize) -> Vec<f32> {
        (from..from + count).map(|at| at as f32).collect()
    }

    #[test]
    fn what_is_in_time_is_played_as_it_is() {
        let mut queue = Queue::new(RATE, 1);
        queue.put(&ramp(0, 960), 100.0 * MS);
        let mut out = vec![-1.0; 480];
        queue.fill(&mut out, 100.0 * MS);
        assert_eq!(out, ramp(0, 480));
        queue.fill(&mut out, 110.0 * MS);
        assert_eq!(out[..478], ramp(480, 478));
    }

    #[test]
    fn what_is_early_waits_in_silence_and_what_is_late_is_left_out() {
        let mut queue = Queue::new(RATE, 1);
        queue.put(&ramp(1, 9_600), 300.0 * MS);
        let mut out = vec![0.0; 4_800];
        queue.fill(&mut out, 200.0 * MS);
        let silent = out.iter().take_while(|&&sample| sample == 0.0).count();
        assert!(
            (2_800..2_900).contains(&silent),
            "60 ms of silence, and then near enough: {silent}"
        );
        let mut out = vec![0.0; 100];
        queue.fill(&mut out, 450.0 * MS);
        assert!(out[0] > 7_000.0, "it is where it should be: {}", out[0]);
    }

    #[test]
    fn drift_is_taken_up_by_speed_and_never_heard_as_a_gap() {
        let mut queue = Queue::new(RATE, 2);
        // The source's clock is 1000 ppm slow; a minute in pieces of 10 ms.
        let (mut late, mut played) = (0.0_f64, 0);
        for piece in 0..6_000_u32 {
            let time = f64::from(piece) * 10.0 * MS;
            queue.put(&[0.5; 960], time * 1.001 + 100.0 * MS);
            let mut out = vec![0.0; 960];
            queue.fill(&mut out, time + 80.0 * MS);
            played += out.iter().filter(|&&sample| sample != 0.0).count();
            late = late.max((queue.due - time - 90.0 * MS).abs() - time * 0.001);
        }
        assert!(played > 5_900 * 960, "{played}");
        assert!(late < 60.0 * MS, "{late}");
    }
}
