//! The two halves of a fence, of which the reader's may cost nothing.

use super::atomic::{Ordering, compiler_fence, fence};

/// How a reader and the one who frees order their stores before their loads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Barrier {
    /// A fence on both sides.
    Symmetric,
    /// The reader only keeps the compiler from reordering; the one who frees makes
    /// the kernel run a fence on every processor that runs this process
    /// (`membarrier(2)`: "a compiler barrier pairs with it").
    Asymmetric,
}

impl Barrier {
    /// The reader's half: cheap.
    #[inline]
    pub(crate) fn light(self) {
        match self {
            Self::Symmetric => fence(Ordering::SeqCst),
            Self::Asymmetric => compiler_fence(Ordering::SeqCst),
        }
    }

    /// The other half: dear. False when the kernel refused, and then nothing is ordered.
    pub(crate) fn heavy(self) -> bool {
        match self {
            Self::Symmetric => {
                fence(Ordering::SeqCst);
                true
            }
            Self::Asymmetric => fence_all_processors(),
        }
    }

    /// The better way that this system has; asked once.
    pub(crate) fn best() -> Self {
        #[cfg(target_os = "linux")]
        {
            use rustix::thread::{MembarrierCommand, membarrier};
            use std::sync::OnceLock;

            static BEST: OnceLock<Barrier> = OnceLock::new();
            // Linux 4.14 and later; a sandbox may refuse it.
            *BEST.get_or_init(
                || match membarrier(MembarrierCommand::RegisterPrivateExpedited) {
                    Ok(()) => Self::Asymmetric,
                    Err(_) => Self::Symmetric,
                },
            )
        }
        #[cfg(not(target_os = "linux"))]
        Self::Symmetric
    }
}

#[cfg(target_os = "linux")]
fn fence_all_processors() -> bool {
    use rustix::thread::{MembarrierCommand, membarrier};
    membarrier(MembarrierCommand::PrivateExpedited).is_ok()
}

#[cfg(not(target_os = "linux"))]
fn fence_all_processors() -> bool {
    false
}
