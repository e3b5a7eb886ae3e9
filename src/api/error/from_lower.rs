//! What the rooms beneath could not do, as what a caller is told.

use super::ApiError;
use crate::{queue, store};

impl From<queue::Error> for ApiError {
    fn from(error: queue::Error) -> Self {
        match error {
            queue::Error::Unavailable(_) | queue::Error::Refused(_) | queue::Error::Unusable(_) => {
                tracing::warn!(%error, "a request found the queue not available");
                Self::RedisUnavailable
            }
            queue::Error::Corrupt(_) => {
                tracing::error!(%error, "a request met content in Redis that is not ours");
                Self::Internal
            }
        }
    }
}

impl From<store::Error> for ApiError {
    fn from(error: store::Error) -> Self {
        match error {
            store::Error::NotFound => Self::NotFound("such file"),
            store::Error::TooLarge { limit } => Self::TooLarge(limit),
            store::Error::Full => {
                tracing::error!(%error, "a request found the store full");
                Self::StorageFull
            }
            store::Error::Unusable(_) | store::Error::Unavailable(_) => {
                tracing::error!(%error, "a request found the store not available");
                Self::StorageUnavailable
            }
        }
    }
}
