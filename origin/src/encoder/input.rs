//! What is captured: a device by a word, or whatever ffmpeg opens.

use std::path::Path;

/// What is captured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A picture with a running clock, and a tone.
    TestCard,
    /// An X display.
    Screen {
        /// Which one.
        display: String,
    },
    /// The first camera.
    Camera,
    /// The default microphone.
    Microphone {
        /// By `PulseAudio` (or what speaks its protocol) or by ALSA.
        pulse: bool,
    },
    /// Whatever ffmpeg opens.
    Other {
        /// A path or a URL.
        url: String,
        /// A file: read as fast as it plays, not as fast as it can be read.
        paced: bool,
    },
}

/// What cannot be captured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InputError {
    /// No name at all.
    #[error("an input needs a name")]
    Empty,
    /// It would look like an option.
    #[error("an input cannot begin with \"-\"; for a file of that name say ./-NAME")]
    Dash,
    /// There is no display.
    #[error("there is no screen to capture: DISPLAY is not set")]
    NoDisplay,
}

pub(super) const CAMERA: &str = "/dev/video0";

impl Input {
    /// What `text` means: a word for a device, or what ffmpeg opens. `variable` looks into the
    /// environment.
    ///
    /// # Errors
    ///
    /// It would be an option of ffmpeg's, or there is no display to capture.
    pub fn new(text: &str, variable: impl Fn(&str) -> Option<String>) -> Result<Self, InputError> {
        let plain = |text: &str| match text.chars().next() {
            None => Err(InputError::Empty),
            Some('-') => Err(InputError::Dash),
            Some(_) => Ok(text.to_owned()),
        };
        match text {
            "testcard" => Ok(Self::TestCard),
            "camera" => Ok(Self::Camera),
            "microphone" => {
                let runtime = variable("XDG_RUNTIME_DIR").unwrap_or_default();
                let socket = Path::new(&runtime).join("pulse/native");
                let pulse = variable("PULSE_SERVER").is_some() || socket.exists();
                Ok(Self::Microphone { pulse })
            }
            "screen" => {
                let display = variable("DISPLAY").ok_or(InputError::NoDisplay)?;
                plain(&display)
                    .map(|display| Self::Screen { display })
                    .map_err(|_| InputError::NoDisplay)
            }
            _ => {
                let paced = Path::new(text.strip_prefix("file:").unwrap_or(text)).is_file();
                plain(text).map(|url| Self::Other { url, paced })
            }
        }
    }

    /// Is there a picture in it for sure not?
    #[must_use]
    pub const fn is_sound(&self) -> bool {
        matches!(self, Self::Microphone { .. })
    }

    /// For people.
    pub(crate) fn told(&self) -> String {
        match self {
            Self::TestCard => "the test card".into(),
            Self::Screen { display } => format!("the screen {display}"),
            Self::Camera => format!("the camera {CAMERA}"),
            Self::Microphone { pulse: true } => "the microphone (PulseAudio's default)".into(),
            Self::Microphone { pulse: false } => "the microphone (ALSA's default)".into(),
            Self::Other { url, .. } => match self.secret() {
                Some(secret) => url.replacen(&secret, "", 1),
                None => url.clone(),
            },
        }
    }

    /// `NAME:PASSWORD@` of a URL: in no log.
    pub(crate) fn secret(&self) -> Option<String> {
        let Self::Other { url, .. } = self else { return None };
        let (_, rest) = url.split_once("://")?;
        let authority = rest.split(['/', '?', '#']).next()?;
        authority.rsplit_once('@').map(|(secret, _)| format!("{secret}@"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nothing(_: &str) -> Option<String> {
        None
    }

    #[test]
    fn no_input_becomes_an_option() {
        for text in ["-", "-y", "-f", "--help"] {
            assert_eq!(Input::new(text, nothing), Err(InputError::Dash), "{text}");
        }
        assert_eq!(Input::new("", nothing), Err(InputError::Empty));
        assert_eq!(Input::new("screen", nothing), Err(InputError::NoDisplay));
        let odd = Input::new("screen", |_| Some("-version".into()));
        assert_eq!(odd, Err(InputError::NoDisplay));
    }

    #[test]
    fn without_pulse_a_microphone_is_alsas() {
        assert_eq!(Input::new("microphone", nothing), Ok(Input::Microphone { pulse: false }));
        let server = |name: &str| (name == "PULSE_SERVER").then(|| "there".to_owned());
        assert_eq!(Input::new("microphone", server), Ok(Input::Microphone { pulse: true }));
    }

    #[test]
    fn a_password_in_a_url_is_not_told() {
        let told = |url| Input::new(url, nothing).unwrap().told();
        assert_eq!(told("rtsp://me:secret@cam:554/a@b"), "rtsp://cam:554/a@b");
        assert_eq!(told("a@b.mp4"), "a@b.mp4");
    }
}
