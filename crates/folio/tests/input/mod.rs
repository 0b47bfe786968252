//! What a model is told to do: any bytes are a sequence of numbers.

/// Bytes taken one by one; zeros when there are no more.
pub(crate) struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        first
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        let wide = u64::from_le_bytes([self.byte(), self.byte(), self.byte(), 0, 0, 0, 0, 0]);
        wide % bound.max(1)
    }

    /// A length: often small, sometimes any up to `most`.
    pub(crate) fn len(&mut self, most: u64) -> u64 {
        match self.byte() % 4 {
            0 => self.below(9),
            1 => self.below(200),
            2 => self.below(3 * page()),
            _ => self.below(most),
        }
    }
}

pub(crate) fn page() -> u64 {
    rustix::param::page_size() as u64
}
