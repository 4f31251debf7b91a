//! The picture as H.264: encoded at once, no frame kept back, none left out.

use openh264::{
    OpenH264API,
    encoder::{
        BitRate, Encoder, EncoderConfig, FrameRate, IntraFramePeriod, Profile, RateControlMode,
        UsageType, VuiConfig,
    },
    formats::YUVSlices,
};

use super::{TestCard, TestCardError, picture::Planes};

/// Parameter sets of the stream, as NAL units without start codes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) sps: Vec<u8>,
    pub(super) pps: Vec<u8>,
}

/// An encoded picture: NAL units, each after its length in four bytes.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) bytes: Vec<u8>,
    pub(super) is_key: bool,
}

pub(super) struct Video {
    config: EncoderConfig,
    /// Begins with the first picture, whose size it takes.
    encoder: Option<Encoder>,
    header: Header,
    header_is_new: bool,
}

/// `nal_unit_type` (ITU-T H.264, table 7-1).
const IDR: u8 = 5;
const SPS: u8 = 7;
const PPS: u8 = 8;

impl Video {
    pub(super) fn new(card: &TestCard) -> Self {
        let config = EncoderConfig::new()
            .usage_type(UsageType::CameraVideoRealTime)
            .max_frame_rate(FrameRate::from_hz(card.fps as f32))
            .bitrate(BitRate::from_bps(card.video_bitrate))
            // Of even quality, and no frame left out: what the rate is kept by is the noise.
            .rate_control_mode(RateControlMode::Bufferbased)
            .profile(Profile::Baseline)
            .scene_change_detect(false)
            .intra_frame_period(IntraFramePeriod::from_num_frames(card.gop))
            .vui(VuiConfig::bt709());
        Self { config, encoder: None, header: Header::default(), header_is_new: false }
    }

    pub(super) fn encode(&mut self, planes: &Planes) -> Result<Frame, TestCardError> {
        let Planes { width, height, y, u, v } = planes;
        let strides = (*width, width / 2, width / 2);
        let source = YUVSlices::new((y, u, v), (*width, *height), strides);
        let encoder = match &mut self.encoder {
            Some(encoder) => encoder,
            none => none.insert(Encoder::with_api_config(OpenH264API::from_source(), self.config)?),
        };
        let stream = encoder.encode(&source)?.to_vec();
        self.take_apart(&stream)
    }

    /// The parameter sets, where they are others than before.
    pub(super) fn new_header(&mut self) -> Option<&Header> {
        std::mem::take(&mut self.header_is_new).then_some(&self.header)
    }

    fn take_apart(&mut self, stream: &[u8]) -> Result<Frame, TestCardError> {
        let mut frame = Frame { bytes: Vec::with_capacity(stream.len()), is_key: false };
        let mut header = self.header.clone();
        for nal in nal_units(stream) {
            match nal.first().map(|first| first & 0x1f) {
                Some(SPS) => header.sps = nal.to_vec(),
                Some(PPS) => header.pps = nal.to_vec(),
                kind => {
                    frame.is_key |= kind == Some(IDR);
                    let length = u32::try_from(nal.len()).unwrap_or(u32::MAX);
                    frame.bytes.extend(length.to_be_bytes());
                    frame.bytes.extend(nal);
                }
            }
        }
        if frame.bytes.is_empty() {
            return Err(TestCardError::Encoded { what: "no picture" });
        }
        if header.sps.is_empty() || header.pps.is_empty() {
            return Err(TestCardError::Encoded { what: "a picture before its parameters" });
        }
        if header != self.header {
            (self.header, self.header_is_new) = (header, true);
        }
        Ok(frame)
    }
}

/// NAL units between the start codes of a byte stream (ITU-T H.264, annex B).
fn nal_units(stream: &[u8]) -> impl Iterator<Item = &[u8]> {
    let starts = stream.windows(3).enumerate().filter(|(_, code)| *code == [0, 0, 1]);
    let starts: Vec<_> = starts.map(|(at, _)| at).collect();
    let ends: Vec<_> = starts.iter().skip(1).copied().chain([stream.len()]).collect();
    starts.into_iter().zip(ends).filter_map(|(start, end)| {
        let mut nal = stream.get(start + 3..end)?;
        // Zeros before the next start code are not its own.
        while let Some((&0, rest)) = nal.split_last() {
            nal = rest;
        }
        (!nal.is_empty()).then_some(nal)
    })
}
