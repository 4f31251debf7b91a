//! What can be said at the prompt of a group.

use std::str::FromStr;

/// What there is to say, for people.
pub(crate) const HELP: &str = "\
l, list            what there is
c N, choose N      choose movie N (the leader)
s, start           begin (the leader)
p N, play N        choose movie N and begin (the leader)
pause, resume      hold on, go on (the leader)
ready              say that you can begin
who                who is here
q, quit            leave";

/// What can be said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    List,
    Choose(u32),
    Start,
    Play(u32),
    Pause,
    Resume,
    Ready,
    Who,
    Help,
    Quit,
    Nothing,
}

impl FromStr for Command {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let mut words = line.split_whitespace();
        let (verb, rest) = (words.next().unwrap_or_default().to_lowercase(), words.next());
        let number = || {
            let number = rest.and_then(|word| word.parse().ok());
            number.ok_or_else(|| format!("{verb} what? Its number is in the list"))
        };
        match verb.as_str() {
            "" => Ok(Self::Nothing),
            "l" | "list" => Ok(Self::List),
            "c" | "choose" => Ok(Self::Choose(number()?)),
            "s" | "start" => Ok(Self::Start),
            "p" | "play" => Ok(Self::Play(number()?)),
            "pause" => Ok(Self::Pause),
            "r" | "resume" => Ok(Self::Resume),
            "ready" => Ok(Self::Ready),
            "who" => Ok(Self::Who),
            "h" | "help" | "?" => Ok(Self::Help),
            "q" | "quit" | "exit" => Ok(Self::Quit),
            _ => Err(format!("{verb} is no command; help lists them")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commands_and_their_short_forms_are_known() {
        for (line, command) in [
            ("l", Command::List),
            (" P 7 ", Command::Play(7)),
            ("c 3", Command::Choose(3)),
            ("s", Command::Start),
            ("pause", Command::Pause),
            ("r", Command::Resume),
            ("who", Command::Who),
            ("q", Command::Quit),
            ("", Command::Nothing),
        ] {
            assert_eq!(line.parse(), Ok(command), "{line}");
        }
        for line in ["p", "play it", "dance"] {
            assert!(line.parse::<Command>().is_err(), "{line}");
        }
    }
}
