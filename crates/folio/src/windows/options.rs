//! How a file shall be seen through windows.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use folio_sys::fault::FaultPolicy;
use folio_sys::reservation::address_space_in_use;

use super::Windows;
use super::cache::{Cache, Limits};
use super::extent::Geometry;
use crate::{Error, Result};

/// No window is larger unless asked for: more than any machine has of memory, and little of
/// a 64-bit address space.
const MOST_WINDOW_BYTES: u64 = 1 << 40;
/// Files up to this size are mapped whole whatever the limits, unless asked otherwise.
const SMALL_BYTES: u64 = 4 << 20;
/// How many windows the budget holds unless asked otherwise.
const WINDOWS_A_BUDGET: u64 = 8;
/// The share of the process's mappings, and of its address space where that is limited,
/// that one file's windows may take.
const SHARE: u64 = 4;

/// How a file is seen through windows. Made by [`Windows::options`].
#[derive(Debug, Clone)]
pub struct WindowsOptions {
    window_bytes: Option<u64>,
    budget_bytes: Option<u64>,
    max_windows: Option<usize>,
    fault_policy: FaultPolicy,
    adaptive: bool,
    unmap_at_once: bool,
}

impl Default for WindowsOptions {
    fn default() -> Self {
        Self {
            window_bytes: None,
            budget_bytes: None,
            max_windows: None,
            fault_policy: FaultPolicy::default(),
            adaptive: true,
            unmap_at_once: false,
        }
    }
}

impl WindowsOptions {
    /// How large a window is. It is rounded up to whole pairs of pages, and is no larger than
    /// the budget. Default: an eighth of the budget, at most 1 TiB; so with the budget's
    /// default, a file of up to 1 TiB is mapped whole on 64-bit, and 32 MiB at a time on 32-bit.
    #[must_use]
    pub fn window_bytes(mut self, bytes: u64) -> Self {
        self.window_bytes = Some(bytes);
        self
    }

    /// How much may be mapped at a time, but for what views pin. Default: 8 TiB on 64-bit,
    /// 256 MiB on 32-bit, and no more than a quarter of what the process's limit of address space
    /// (`RLIMIT_AS`) leaves at this moment.
    #[must_use]
    pub fn budget_bytes(mut self, bytes: u64) -> Self {
        self.budget_bytes = Some(bytes);
        self
    }

    /// How many windows may be mapped at a time, but for those that views pin. Default: a
    /// quarter of what the system allows to a process (`vm.max_map_count`).
    #[must_use]
    pub fn max_windows(mut self, count: usize) -> Self {
        self.max_windows = Some(count);
        self
    }

    /// How reads find lost pages out. Default: [`FaultPolicy::Handler`].
    #[must_use]
    pub fn fault_policy(mut self, policy: FaultPolicy) -> Self {
        self.fault_policy = policy;
        self
    }

    /// Whether reads that thrash the budget go by `pread(2)` instead, by the rule that
    /// [`Windows`] tells. Default: true.
    #[must_use]
    pub fn adaptive(mut self, adaptive: bool) -> Self {
        self.adaptive = adaptive;
        self
    }

    /// Maps page by page, and unmaps at once: for tests, so that a pointer kept longer than
    /// its view meets no memory. Slow. Default: false.
    #[must_use]
    pub fn unmap_at_once(mut self, unmap: bool) -> Self {
        self.unmap_at_once = unmap;
        self
    }

    /// Opens the file at `path`. Nothing is mapped yet.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] when the file cannot be opened or is a folder.
    pub fn open(&self, path: impl AsRef<Path>) -> Result<Windows> {
        let path = path.as_ref();
        let file = File::open(path).map_err(|error| Error::io("open", path, error))?;
        self.map(file, path)
    }

    /// Takes an open file; `path` is its name in messages. Nothing is mapped yet.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] when its length cannot be had or it is a folder.
    pub fn map(&self, file: File, path: impl Into<PathBuf>) -> Result<Windows> {
        let (window, budget) = self.sizes();
        let geometry = Geometry::new(window);
        let limits = Limits {
            // One window must be possible, or nothing is.
            budget_bytes: budget.max(geometry.window_bytes()),
            max_windows: self.max_windows.unwrap_or_else(default_max_windows).max(1),
            adaptive: self.adaptive,
            unmap_at_once: self.unmap_at_once,
        };
        let cache = Cache::new(geometry, limits);
        Windows::new(file, path.into(), self.fault_policy, cache)
    }

    /// Whether a file of so many bytes needs no more than one window, so that it is as well
    /// mapped whole.
    pub(crate) fn is_one_window(&self, size: u64) -> bool {
        let by_default = self.window_bytes.is_none() && self.budget_bytes.is_none();
        // For the many small files, the system is not asked for its limits.
        (by_default && size <= SMALL_BYTES) || size <= Geometry::new(self.sizes().0).window_bytes()
    }

    /// Of a window and of the budget.
    fn sizes(&self) -> (u64, u64) {
        let budget = match (self.budget_bytes, self.window_bytes) {
            (Some(budget), _) => budget,
            (None, Some(window)) => default_budget().max(window),
            (None, None) => default_budget(),
        };
        let window = self
            .window_bytes
            .unwrap_or((budget / WINDOWS_A_BUDGET).min(MOST_WINDOW_BYTES))
            .min(budget);
        (window, budget)
    }
}

fn default_budget() -> u64 {
    let by_width = if size_of::<usize>() < 8 {
        256 << 20
    } else {
        MOST_WINDOW_BYTES * WINDOWS_A_BUDGET
    };
    let limit = rustix::process::getrlimit(rustix::process::Resource::As).current;
    limit.map_or(by_width, |limit| {
        by_width.min(limit.saturating_sub(address_space_in_use().unwrap_or(0)) / SHARE)
    })
}

fn default_max_windows() -> usize {
    static ALLOWED: OnceLock<usize> = OnceLock::new();
    *ALLOWED.get_or_init(|| {
        // Linux's own default, where nothing is said.
        let allowed: u64 = std::fs::read_to_string("/proc/sys/vm/max_map_count")
            .ok()
            .and_then(|text| text.trim().parse().ok())
            .unwrap_or(65530);
        usize::try_from(allowed / SHARE).unwrap_or(usize::MAX)
    })
}
