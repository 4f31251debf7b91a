//! The media type of a file or stream by the end of its name.

use std::path::Path;

/// The media type that a name's extension stands for; `application/octet-stream` where it stands for
/// none.
#[must_use]
pub fn media_type(name: &Path) -> String {
    let extension = name.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    match extension.to_ascii_lowercase().as_str() {
        // The list has TypeScript or a DLNA type here; in a relay it is a transport stream.
        "ts" | "m2ts" | "mts" => "video/mp2t".into(),
        _ => mime_guess::from_path(name).first_or_octet_stream().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_are_known_by_their_names() {
        for (name, expected) in [
            ("a.mp3", "audio/mpeg"),
            ("a.MP4", "video/mp4"),
            ("live/cam.ts", "video/mp2t"),
            ("a.webm", "video/webm"),
            ("a.mkv", "video/x-matroska"),
            ("a.ogg", "audio/ogg"),
            ("a", "application/octet-stream"),
        ] {
            assert_eq!(media_type(Path::new(name)), expected, "{name}");
        }
    }
}
