//! The sample table, made once for all tests by the command itself.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use crate::folder::Folder;
use crate::server::Server;

/// A folder whose cache holds the sample.
#[derive(Debug)]
pub(crate) struct Sample {
    pub(crate) folder: Folder,
    /// What `folio serve` printed when it made the sample.
    pub(crate) greeting: Vec<String>,
    _cleaner: Child,
}

impl Sample {
    /// Where the command keeps it.
    pub(crate) fn table(&self) -> PathBuf {
        self.folder.path("cache/folio/sample-1.folio")
    }
}

/// Makes the sample when it is asked for the first time.
#[track_caller]
pub(crate) fn sample() -> &'static Sample {
    static SAMPLE: OnceLock<Sample> = OnceLock::new();
    SAMPLE.get_or_init(|| {
        let folder = Folder::new();
        // What is static is never dropped. This process removes the folder when the
        // pipe from this one closes, in whatever way the tests end.
        let cleaner = Command::new("sh")
            .args(["-c", r#"read -r _; rm -rf "$0""#])
            .arg(folder.path(""))
            .stdin(Stdio::piped())
            .spawn();
        let server = Server::start(&folder, &[]);
        let greeting = server.greeting.clone();
        server.stop();
        assert_eq!(fs::read_dir(folder.path("cache/folio")).unwrap().count(), 1);
        Sample {
            folder,
            greeting,
            _cleaner: cleaner.unwrap(),
        }
    })
}
