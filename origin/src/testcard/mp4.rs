//! The fragmented MP4 (ISO/IEC 14496-12): one `moof` and `mdat` for each frame and each packet.

use freshet_protocol::Stamp;
use mp4_atom::{
    Audio, Avc1, Avcc, Codec, Dinf, Dops, Dref, DrefEntry, Encode, FourCC, Ftyp, Hdlr, Mdhd, Mdia,
    Mfhd, Minf, Moof, Moov, Mvex, Mvhd, Opus, Smhd, Stbl, Stco, Stsd, Tfdt, Tfhd, Tkhd, Traf, Trak,
    Trex, Trun, TrunEntry, Url, Visual, Vmhd,
};

use super::{
    TestCardError,
    sound::SAMPLE_RATE,
    video::{Frame, Header},
};
use crate::encoder::Size;

const VIDEO: u32 = 1;
const SOUND: u32 = 2;
/// Units of the picture's time in a second.
const VIDEO_TIMESCALE: u32 = 90_000;
/// Depends on no other sample; and on others, no place to begin (14496-12, 8.8.3.1).
const SYNC: u32 = 0x0200_0000;
const NON_SYNC: u32 = 0x0101_0000;
/// Head of a box: its length and its name.
const BOX_HEAD: usize = 8;

/// When a frame is due, in units of the picture's time since the Unix epoch.
pub(super) fn video_time(begun: Stamp, frame: u64, fps: u32) -> u64 {
    let scale = u128::from(VIDEO_TIMESCALE);
    let begun = u128::from(begun.nanos()) * scale / 1_000_000_000;
    u64::try_from(begun + u128::from(frame) * scale / u128::from(fps)).unwrap_or(u64::MAX)
}

/// What the stream begins with. There is sound where its encoder's lookahead is told.
pub(super) fn header(
    video: &Header,
    size: Size,
    lookahead: Option<u16>,
) -> Result<Vec<u8>, TestCardError> {
    let brands = [b"isom", b"iso6", b"avc1", b"mp41"].map(FourCC::new).to_vec();
    let ftyp =
        Ftyp { major_brand: FourCC::new(b"iso6"), minor_version: 0, compatible_brands: brands };
    let mut trak = vec![video_track(video, size)?];
    trak.extend(lookahead.map(sound_track));
    let trex = |track: &Trak| Trex {
        track_id: track.tkhd.track_id,
        default_sample_description_index: 1,
        ..Trex::default()
    };
    let mvex = Mvex { mehd: None, trex: trak.iter().map(trex).collect() };
    let mvhd = Mvhd {
        timescale: 1000,
        rate: 1.into(),
        volume: 1.into(),
        next_track_id: trak.len() as u32 + 1,
        ..Mvhd::default()
    };
    let moov = Moov { mvhd, trak, mvex: Some(mvex), meta: None, udta: None, ainf: None };
    let mut bytes = Vec::new();
    ftyp.encode(&mut bytes)?;
    moov.encode(&mut bytes)?;
    Ok(bytes)
}

fn video_track(video: &Header, size: Size) -> Result<Trak, TestCardError> {
    let (width, height) = size.sides();
    // What the encoder takes is below 4096.
    let (width, height) = (width as u16, height as u16);
    let visual = Visual {
        data_reference_index: 1,
        width,
        height,
        compressor: "freshet test card".into(),
        ..Visual::default()
    };
    let avcc = Avcc::new(&video.sps, &video.pps)?;
    let codec = Codec::Avc1(Avc1 { visual, avcc, ..Avc1::default() });
    let mut track = track(VIDEO, VIDEO_TIMESCALE, b"vide", codec);
    (track.tkhd.width, track.tkhd.height) = (width.into(), height.into());
    track.mdia.minf.vmhd = Some(Vmhd::default());
    Ok(track)
}

fn sound_track(lookahead: u16) -> Trak {
    let audio = Audio {
        data_reference_index: 1,
        channel_count: 1,
        sample_size: 16,
        sample_rate: (SAMPLE_RATE as u16).into(),
    };
    let dops = Dops {
        output_channel_count: 1,
        pre_skip: lookahead,
        input_sample_rate: SAMPLE_RATE,
        output_gain: 0,
        channel_mapping: None,
    };
    let codec = Codec::Opus(Opus { audio, dops, btrt: None });
    let mut track = track(SOUND, SAMPLE_RATE, b"soun", codec);
    track.tkhd.volume = 1.into();
    track.mdia.minf.smhd = Some(Smhd::default());
    track
}

fn track(track_id: u32, timescale: u32, handler: &[u8; 4], codec: Codec) -> Trak {
    let stbl =
        Stbl { stsd: Stsd { codecs: vec![codec] }, stco: Some(Stco::default()), ..Stbl::default() };
    let dinf = Dinf { dref: Dref { entries: vec![DrefEntry::Url(Url::default())] } };
    Trak {
        tkhd: Tkhd { track_id, enabled: true, in_movie: true, ..Tkhd::default() },
        mdia: Mdia {
            mdhd: Mdhd { timescale, language: "und".into(), ..Mdhd::default() },
            hdlr: Hdlr { handler: FourCC::new(handler), name: "freshet".into() },
            minf: Minf { dinf, stbl, ..Minf::default() },
        },
        ..Trak::default()
    }
}

/// Numbers the fragments.
#[derive(Debug, Default)]
pub(super) struct Writer {
    fragments: u32,
}

impl Writer {
    /// Add a frame that is shown from `time` until `next`.
    pub(super) fn video(
        &mut self,
        frame: &Frame,
        time: u64,
        next: u64,
        bytes: &mut Vec<u8>,
    ) -> Result<(), TestCardError> {
        let flags = if frame.is_key { SYNC } else { NON_SYNC };
        let length = u32::try_from(next.saturating_sub(time)).unwrap_or(u32::MAX);
        self.fragment(VIDEO, (time, length), flags, &frame.bytes, bytes)
    }

    /// The fragment of a packet of that time and length.
    pub(super) fn sound(
        &mut self,
        packet: &[u8],
        time: (u64, u32),
    ) -> Result<bytes::Bytes, TestCardError> {
        let mut bytes = Vec::new();
        self.fragment(SOUND, time, SYNC, packet, &mut bytes)?;
        Ok(bytes.into())
    }

    fn fragment(
        &mut self,
        track_id: u32,
        (time, duration): (u64, u32),
        flags: u32,
        sample: &[u8],
        bytes: &mut Vec<u8>,
    ) -> Result<(), TestCardError> {
        self.fragments = self.fragments.wrapping_add(1);
        let entry = TrunEntry {
            duration: Some(duration),
            size: Some(u32::try_from(sample.len()).unwrap_or(u32::MAX)),
            flags: Some(flags),
            cts: None,
        };
        let traf = Traf {
            tfhd: Tfhd { track_id, default_base_is_moof: true, ..Tfhd::default() },
            tfdt: Some(Tfdt { base_media_decode_time: time }),
            trun: vec![Trun { data_offset: Some(0), samples: vec![entry].into() }],
            ..Traf::default()
        };
        let mut moof = Moof { mfhd: Mfhd { sequence_number: self.fragments }, traf: vec![traf] };
        // Where the sample begins depends on the length of what says so.
        let mut head = Vec::new();
        moof.encode(&mut head)?;
        let offset = i32::try_from(head.len() + BOX_HEAD).ok();
        moof.traf
            .iter_mut()
            .flat_map(|traf| &mut traf.trun)
            .for_each(|trun| trun.data_offset = offset);
        moof.encode(bytes)?;
        let length = u32::try_from(sample.len() + BOX_HEAD).unwrap_or(u32::MAX);
        bytes.extend(length.to_be_bytes());
        bytes.extend(b"mdat");
        bytes.extend(sample);
        Ok(())
    }
}
