//! Views of what is mapped.

use std::sync::Arc;

use folio_sys::mapping::Span;

use super::{Origin, View};
use crate::map::Map;

impl View {
    /// A view of a span, which is part of the mapping that `map` is of. It may reach past
    /// the end that the map was made with: a mapping grows.
    pub(crate) fn of_span(span: Span, map: &Arc<Map>) -> Self {
        Self {
            span,
            origin: Origin::Mapped(Arc::clone(map)),
        }
    }

    /// The mapped bytes, if they are mapped.
    pub(crate) fn span(&self) -> Option<&Span> {
        match &self.origin {
            Origin::Mapped(_) => Some(&self.span),
            Origin::Windowed { .. } | Origin::Positioned { .. } => None,
        }
    }
}
