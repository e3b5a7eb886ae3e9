//! Items of a list, which ends before the answer is too large.

use crate::{
    api::error::{ApiError, Result},
    settings::limits::PAGE_BYTES_MAX,
};
use serde::{Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};

/// Bytes of an answer besides its items.
const FRAME_BYTES: usize = 4 * 1024;

/// Items of a page as JSON: as many of the first as fit in [`PAGE_BYTES_MAX`], at least one.
#[derive(Debug)]
pub(crate) struct PageItems(Vec<Box<RawValue>>);

impl PageItems {
    /// Writes the items until the page is full.
    pub(crate) fn fill<T: Serialize>(items: impl IntoIterator<Item = T>) -> Result<Self> {
        let (mut written, mut bytes) = (Vec::new(), FRAME_BYTES);
        for item in items {
            let json = to_raw_value(&item).map_err(|error| {
                tracing::error!(%error, "item of a list not serialized");
                ApiError::Internal
            })?;
            bytes += json.get().len() + 1;
            if bytes > PAGE_BYTES_MAX && !written.is_empty() {
                break;
            }
            written.push(json);
        }
        Ok(Self(written))
    }

    /// Returns the number of items on the page.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

impl Serialize for PageItems {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::{PAGE_BYTES_MAX, PageItems};

    #[test]
    fn a_page_ends_before_it_is_too_large_but_has_an_item() {
        let third = "x".repeat(PAGE_BYTES_MAX / 3);
        let page = PageItems::fill([&third, &third, &third]).unwrap();
        assert_eq!(page.len(), 2);
        assert!(serde_json::to_string(&page).unwrap().len() <= PAGE_BYTES_MAX);
        assert_eq!(PageItems::fill(["x".repeat(PAGE_BYTES_MAX)]).unwrap().len(), 1);
        assert_eq!(PageItems::fill(["short"; 200]).unwrap().len(), 200);
    }
}
