//! How the command fails: one line, and a hint where there is one.

use std::error::Error;
use std::fmt;
use std::io::{self, Write as _};
use std::process::ExitCode;

/// What every subcommand returns.
pub(crate) type Outcome<T = ()> = Result<T, Failure>;

/// Why the command ends with a status other than 0.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Something went wrong, and this says what.
    Error {
        error: Box<dyn Error>,
        hint: Option<String>,
    },
    /// Everything has been said on stderr already.
    Reported,
}

impl Failure {
    /// A failure with no error of a library behind it.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self::from(Box::<dyn Error>::from(message.into()))
    }

    /// Adds what the user can do about it.
    pub(crate) fn hint(self, text: impl Into<String>) -> Self {
        match self {
            Self::Error { error, .. } => Self::Error {
                error,
                hint: Some(text.into()),
            },
            Self::Reported => Self::Reported,
        }
    }

    /// The error of a library that it came from, if it is of this type.
    pub(crate) fn cause<E: Error + 'static>(&self) -> Option<&E> {
        match self {
            Self::Error { error, .. } => error.downcast_ref(),
            Self::Reported => None,
        }
    }

    /// Says it on stderr.
    pub(crate) fn report(&self) -> ExitCode {
        if let Self::Error { error, hint } = self {
            if is_broken_pipe(error.as_ref()) {
                // Whoever read our output has enough, as `head` does: no failure.
                return ExitCode::SUCCESS;
            }
            complain(&self.to_string());
            if let Some(hint) = hint {
                say(&format!("hint: {hint}"));
            }
        }
        ExitCode::FAILURE
    }
}

/// What went wrong, in one line, without the hint.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Error { error, .. } => f.write_str(&one_line(error.as_ref())),
            Self::Reported => f.write_str("failed"),
        }
    }
}

impl<E: Into<Box<dyn Error>>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Error {
            error: error.into(),
            hint: None,
        }
    }
}

/// Says on stderr what went wrong.
pub(crate) fn complain(text: &str) {
    say(&format!("folio: {text}"));
}

/// Says something on stderr, in one line: names of files may have line ends in them.
pub(crate) fn say(text: &str) {
    // Where stderr is gone, nobody is left to be told.
    let _ = writeln!(io::stderr(), "{}", text.replace(['\n', '\r'], " "));
}

/// An error and its causes, joined by colons.
pub(crate) fn one_line(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        // Some errors repeat their cause in their own words.
        if !line.ends_with(&text) {
            line.push_str(": ");
            line.push_str(&text);
        }
        cause = error.source();
    }
    line
}

fn is_broken_pipe(error: &(dyn Error + 'static)) -> bool {
    let mut current = Some(error);
    while let Some(error) = current {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            if error.kind() == io::ErrorKind::BrokenPipe {
                return true;
            }
        }
        current = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_follow_on_one_line() {
        let cause = io::Error::other("the disk is gone");
        let error = folio::Error::Io {
            action: "open",
            path: "a.folio".into(),
            source: cause,
        };
        assert_eq!(one_line(&error), "a.folio: cannot open: the disk is gone");
    }
}
