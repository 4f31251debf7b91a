//! The decoders of sound, and what each of them needs to begin.

use ropus::{Channels as OpusChannels, DecodeMode, Decoder as Opus};
use symphonia::{
    core::{
        codecs::audio::{
            AudioCodecId, AudioCodecParameters, AudioDecoder, AudioDecoderOptions,
            well_known::{CODEC_ID_AAC, CODEC_ID_MP3},
        },
        packet::PacketRef,
        units::{Duration, Timestamp},
    },
    default::get_codecs,
};

use super::frames;
use crate::demux::{KnownSound, SoundCoding};

/// What Opus is decoded to, whatever went into it (RFC 7845, section 5.1).
const OPUS_RATE: u32 = 48_000;

pub(super) enum Codec {
    /// Frames of AAC as they are.
    Aac(Box<dyn AudioDecoder>),
    /// Each frame behind a header; the decoder, and what it has begun with.
    Adts(Option<([u8; 2], Box<dyn AudioDecoder>)>),
    Mp3(Box<dyn AudioDecoder>),
    Opus(Box<Opus>),
    /// Frames as they are, of whatever it is.
    Known(Box<dyn AudioDecoder>),
}

fn decoder(codec: AudioCodecId, config: Option<&[u8]>) -> Option<Box<dyn AudioDecoder>> {
    let mut parameters = AudioCodecParameters::new();
    parameters.for_codec(codec);
    if let Some(config) = config {
        parameters.with_extra_data(config.into());
    }
    // No decoder is as good as none that fits.
    get_codecs().make_audio_decoder(&parameters, &AudioDecoderOptions::default()).ok()
}

impl Codec {
    /// `None` where it cannot be decoded.
    pub(super) fn new(coding: &SoundCoding) -> Option<Self> {
        Some(match coding {
            SoundCoding::Aac { config } => Self::Aac(decoder(CODEC_ID_AAC, Some(config))?),
            SoundCoding::Adts => Self::Adts(None),
            SoundCoding::Mp3 => Self::Mp3(decoder(CODEC_ID_MP3, None)?),
            SoundCoding::Known(KnownSound(parameters)) => {
                let options = AudioDecoderOptions::default();
                Self::Known(get_codecs().make_audio_decoder(parameters, &options).ok()?)
            }
            SoundCoding::Opus { channels } => {
                let channels =
                    if *channels == 1 { OpusChannels::Mono } else { OpusChannels::Stereo };
                Self::Opus(Box::new(Opus::new(OPUS_RATE, channels).ok()?))
            }
        })
    }

    /// What comes next does not follow on what came.
    pub(super) fn reset(&mut self) {
        match self {
            Self::Aac(decoder)
            | Self::Mp3(decoder)
            | Self::Known(decoder)
            | Self::Adts(Some((_, decoder))) => {
                decoder.reset();
            }
            Self::Adts(None) | Self::Opus(_) => {}
        }
    }

    /// Decode the frames of a sample: rate, channels, and samples of all channels in turn.
    pub(super) fn decode(&mut self, bytes: &[u8], mut out: impl FnMut(u32, usize, Vec<f32>)) {
        match self {
            Self::Aac(decoder) | Self::Known(decoder) => one(decoder.as_mut(), bytes, &mut out),
            Self::Mp3(decoder) => {
                let mut rest = bytes;
                while let Some((frame, behind)) = frames::mp3(rest) {
                    one(decoder.as_mut(), frame, &mut out);
                    rest = behind;
                }
            }
            Self::Adts(known) => {
                let mut rest = bytes;
                while let Some((frame, behind)) = frames::adts(rest) {
                    if known.as_ref().is_none_or(|(config, _)| *config != frame.config) {
                        let begun = decoder(CODEC_ID_AAC, Some(&frame.config));
                        *known = begun.map(|begun| (frame.config, begun));
                    }
                    if let Some((_, decoder)) = known {
                        one(decoder.as_mut(), frame.bytes, &mut out);
                    }
                    rest = behind;
                }
            }
            Self::Opus(decoder) => {
                let channels = if decoder.channels() == OpusChannels::Mono { 1 } else { 2 };
                let mut samples = vec![0.0; decoder.max_frame_samples_per_channel() * channels];
                if let Ok(frames) = decoder.decode_float(bytes, &mut samples, DecodeMode::Normal) {
                    samples.truncate(frames * channels);
                    out(OPUS_RATE, channels, samples);
                }
            }
        }
    }
}

fn one(decoder: &mut dyn AudioDecoder, frame: &[u8], out: &mut impl FnMut(u32, usize, Vec<f32>)) {
    let packet = PacketRef::new(0, Timestamp::ZERO, Duration::ZERO, frame);
    if let Ok(decoded) = decoder.decode_ref(&packet) {
        let mut samples = Vec::new();
        decoded.copy_to_vec_interleaved(&mut samples);
        let spec = decoded.spec();
        out(spec.rate(), spec.channels().count(), samples);
    }
}

impl std::fmt::Debug for Codec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Aac(_) => "Aac",
            Self::Adts(_) => "Adts",
            Self::Mp3(_) => "Mp3",
            Self::Opus(_) => "Opus",
            Self::Known(_) => "Known",
        })
    }
}
