//! The roles of the program: which rooms they put together.

pub(crate) mod api;
pub(crate) mod dispatcher;
pub(crate) mod doctor;
pub(crate) mod seed;
pub(crate) mod shared;
pub(crate) mod up;
pub(crate) mod ws;
