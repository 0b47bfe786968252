//! Whether reads come back to what was mapped for them. [`Windows`](super::Windows) tells the rule.

/// At this score mapping ends.
const MOST: u8 = 64;
/// What a read that does not come back adds.
const STRAY: u8 = 4;
/// How many half windows are remembered, of those read without a window.
const REMEMBERED: usize = 8;

/// The score of the rule, and the mode that it led to.
#[derive(Debug)]
pub(super) struct Locality {
    score: u8,
    mapping: bool,
    switches: u64,
    /// A ring of the half windows that were read last without a window.
    recent: [u64; REMEMBERED],
    next: usize,
}

impl Locality {
    pub(super) fn new() -> Self {
        Self {
            score: 0,
            mapping: true,
            switches: 0,
            recent: [u64::MAX; REMEMBERED],
            next: 0,
        }
    }

    /// Whether windows are unmapped to make room for others.
    pub(super) fn is_mapping(&self) -> bool {
        self.mapping
    }

    /// How often mapping ended or began again.
    pub(super) fn switches(&self) -> u64 {
        self.switches
    }

    /// A read came back to what is mapped.
    pub(super) fn came_back(&mut self) {
        self.score = self.score.saturating_sub(1);
        if self.score == 0 && !self.mapping {
            self.mapping = true;
            self.switches += 1;
        }
    }

    /// A read needs room for a window of its own, at this half window. True if it shall have it.
    pub(super) fn wants_room(&mut self, half_window: u64, is_near: bool) -> bool {
        if is_near || self.is_remembered(half_window) {
            self.came_back();
        } else {
            self.score = self.score.saturating_add(STRAY).min(MOST);
            if self.score == MOST && self.mapping {
                self.mapping = false;
                self.switches += 1;
            }
        }
        if !self.mapping {
            self.remember(half_window);
        }
        self.mapping
    }

    fn is_remembered(&self, half_window: u64) -> bool {
        !self.mapping && self.recent.contains(&half_window)
    }

    fn remember(&mut self, half_window: u64) {
        if self.recent.contains(&half_window) {
            return;
        }
        if let Some(place) = self.recent.get_mut(self.next) {
            *place = half_window;
        }
        self.next = (self.next + 1) % REMEMBERED;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stops_after_sixteen_strays_and_begins_after_sixty_four_returns() {
        let mut locality = Locality::new();
        let mapped = (0..100).take_while(|&i| locality.wants_room(1000 + 10 * i, false));
        assert_eq!(mapped.count(), 15);
        assert!(!locality.is_mapping());
        // The first read of a new place is a stray; the score is at its top already.
        assert!(!locality.wants_room(5, false));
        let positioned = (0..100).take_while(|_| !locality.wants_room(5, false));
        assert_eq!(positioned.count(), 63);
        assert!(locality.is_mapping());
        assert_eq!(locality.switches(), 2);
    }

    #[test]
    fn reading_in_order_never_stops() {
        let mut locality = Locality::new();
        assert!((0..1000).all(|i| locality.wants_room(2 * i, true)));
        assert_eq!(locality.switches(), 0);
    }

    #[test]
    fn five_reads_a_window_are_the_balance() {
        // Two reads for each stray: stays as it is.
        let mut locality = Locality::new();
        while locality.wants_room(u64::MAX - 1, false) {}
        for i in 0..1000 {
            assert!(!locality.wants_room(100 * i, false));
            assert!(!locality.wants_room(100 * i, false));
        }
        // Nine: maps again.
        let mut begins = false;
        for i in 0..40 {
            for _ in 0..9 {
                begins |= locality.wants_room(1_000_000 + 100 * i, false);
            }
        }
        assert!(begins);
    }
}
